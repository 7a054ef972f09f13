"""The engines: what lets a character perform. ``engine_for`` is the way in."""

from pipeline.engines.registry import engine_for

__all__ = ["engine_for"]
