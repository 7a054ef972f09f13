"""An exporter of the test's farm."""

from __future__ import annotations

import pytest

from renderfarm.db import Database
from renderfarm.metrics.exporter import FarmCollector
from renderfarm.settings import Settings
from tests.renderfarm.metrics.page import Page


@pytest.fixture
def exporter(settings: Settings, database: Database) -> FarmCollector:
    """One that has looked once, when there was nothing."""
    exporter = FarmCollector(settings, database)
    exporter.look()
    return exporter


@pytest.fixture
def page(exporter: FarmCollector) -> Page:
    return Page(exporter)
