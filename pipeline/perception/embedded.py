"""The backend that needs no weights: mediapipe's models, which its package carries."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.perception.base import Details, Frame, Perception, Pose
from pipeline.perception.details import DetailFinder
from pipeline.perception.people import PeopleFinder
from pipeline.spec import Model


class EmbeddedPerception(Perception):
    """Looks for people, and for their faces and hands where the ``model`` acts these."""

    def __init__(self, model: Model) -> None:
        self._people = PeopleFinder()
        self._details = DetailFinder() if model is Model.V4 else None

    def look(self, rgb: Frame) -> dict[int, Pose]:
        return self._people.look(rgb)

    def details(self, rgb: Frame, people: Mapping[int, Pose]) -> dict[int, Details] | None:
        return None if self._details is None else self._details.look(rgb, people)

    def reset(self, *, piece: bool = False) -> None:
        self._people.reset(piece=piece)
        if self._details:
            self._details.reset()

    def close(self) -> None:
        self._people.close()
        if self._details:
            self._details.close()
