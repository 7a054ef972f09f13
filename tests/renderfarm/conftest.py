"""The farm of rows that this room's tests work on."""

from __future__ import annotations

import pytest

from renderfarm.db import Database
from renderfarm.settings import Settings
from tests.renderfarm.farm import Farm


@pytest.fixture
def farm(database: Database, settings: Settings) -> Farm:
    return Farm(database, settings)
