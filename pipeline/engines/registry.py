"""Engines by name: loaded when first asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from pipeline.engines.base import Engine
from pipeline.errors import EngineError
from pipeline.spec import EngineId


def _puppet_v3() -> Engine:
    from pipeline.engines.puppet_v3 import PuppetV3

    return PuppetV3()


def _puppet_v4() -> Engine:
    from pipeline.engines.puppet_v4 import PuppetV4

    return PuppetV4()


_ENGINES: Mapping[str, Callable[[], Engine]] = {"puppet_v3": _puppet_v3, "puppet_v4": _puppet_v4}


@cache
def engine_for(engine: EngineId, device: str = "cpu") -> Engine:
    """The engine of just this name and version, set up on ``device``; raises ``EngineError``.

    Another version than a job's plan pins would make another picture: the job is refused instead.
    """
    make = _ENGINES.get(engine.name)
    if make is None:
        raise EngineError(f"There is no engine {engine.name}.")
    made = make()
    if made.id != engine:
        raise EngineError(f"This worker has {made.id}, not {engine}.")
    made.setup(device)
    return made
