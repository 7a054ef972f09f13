"""Each test that asks for a ``release`` looks at one of every set of values."""

from __future__ import annotations

import pytest

from tests.deploy.chart.rendered import RELEASES, VARIANTS, Rendered, render


@pytest.fixture(params=list(VARIANTS))
def release(request: pytest.FixtureRequest) -> Rendered:
    return render(VARIANTS[request.param], RELEASES.get(request.param, "demo"))


@pytest.fixture
def defaults() -> Rendered:
    return render({})
