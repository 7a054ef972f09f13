"""One ground for all trials of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from renderfarm.trial.ground import Ground


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with Ground.open() as ground:
        yield ground
