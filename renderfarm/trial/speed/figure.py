"""One measured number with what it must reach and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A number; ``must`` and ``goal`` are floors where ``goal`` is the greater, else ceilings.

    Without a ``must`` it is only told.
    """

    name: str
    value: float
    unit: str
    must: float | None = None
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether it is as good as it must be; None where nothing is asked."""
        return None if self.must is None else self._reaches(self.must)

    def _reaches(self, bar: float) -> bool:
        assert self.must is not None and self.goal is not None
        return self.value >= bar if self.goal > self.must else self.value <= bar

    def to_json(self) -> dict[str, Any]:
        wanted = self.goal is not None and self._reaches(self.goal)
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "must": self.must,
            "goal": self.goal,
            "met": self.met,
            "goal_met": wanted if self.met is not None else None,
        }

    def row(self) -> dict[str, str]:
        """As a line of a table."""
        bars = "" if self.must is None else f"{self.must:g} / {self.goal:g} {self.unit}"
        said = self.to_json()
        verdict = "" if self.met is None else "goal" if said["goal_met"] else "met" if self.met else "MISSED"
        return {
            "figure": self.name,
            "value": f"{self.value:.4g} {self.unit}",
            "must / goal": bars,
            "verdict": verdict,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measurement gives: its figures, and what they were made of."""

    figures: tuple[Figure, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
