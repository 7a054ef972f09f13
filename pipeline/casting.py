"""Who plays whom: the people of a video, and the characters that take their places."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import UnknownPerson
from pipeline.perception.tracks import Person, Tracks
from pipeline.spec import RenderSpec


@dataclass(frozen=True, slots=True)
class Part:
    """A person whose place a character takes."""

    person: Person
    #: Which of the job's characters it is.
    character: int


def parts_of(spec: RenderSpec, tracks: Tracks) -> tuple[Part, ...]:
    """The parts that are played, the lead's first; without a cast character 0 plays the lead.

    Raises ``UnknownPerson`` where the cast names somebody who is not in the video.
    """
    if not spec.cast:
        return tuple(Part(person, 0) for person in tracks.people[:1])
    cast = dict(spec.cast)
    if unknown := cast.keys() - {person.id for person in tracks.people}:
        raise UnknownPerson(f"There is no {', '.join(sorted(unknown))} in the driving video.")
    return tuple(Part(person, cast[person.id]) for person in tracks.people if person.id in cast)


def kept_of(spec: RenderSpec, tracks: Tracks) -> tuple[Person, ...]:
    """The people who keep their own looks."""
    played = {part.person.id for part in parts_of(spec, tracks)}
    return tuple(person for person in tracks.people if person.id not in played)
