"""A farm for each test that asks."""

from __future__ import annotations

import pytest

from renderfarm import accounts, credits
from renderfarm.db import Database
from renderfarm.settings import Settings
from renderfarm.storage import open_storage
from tests.workers.farm import Farm


@pytest.fixture
def farm(settings: Settings, database: Database) -> Farm:
    with database.begin() as session:
        account = accounts.create_account(session, "tester")
        credits.grant(session, account.id, 100)
    return Farm(settings, database, open_storage(settings), account.id)
