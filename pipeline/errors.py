"""What can go wrong with media and models.

    PipelineError
    |-- MediaError            the input is at fault: never retried
    |   |-- UnsupportedFormat     not a container or picture we take
    |   |-- Unreadable            the right kind, but broken, empty or without a picture stream
    |   |-- OutOfLimits           too large, too small, too short
    |   |   `-- TooLong               a video longer than the farm takes
    |   |-- NoPerson              nobody found in the driving video
    |   |-- UnknownPerson         the cast names somebody who is not in the driving video
    |   |-- WrongModel            tracks that were made for another model
    |   `-- NoCharacter           nothing found in the picture that can be a character
    |-- EngineError           the engine failed or broke its promise (frames missing, NaN)
    |   `-- OutOfMemory           of the device or the host: retried once, then elsewhere
    `-- ToolError             ffmpeg or ffprobe failed for a reason that is not the input's

Every error has a ``code`` from the farm's public table, so that whoever runs a stage can report it
without knowing the class.
"""

from __future__ import annotations


class PipelineError(Exception):
    """A stage could not be done."""

    code = "CS-UORC01-103"
    #: Whether the same input may succeed when it is tried again.
    retryable = False


class MediaError(PipelineError):
    """The input cannot be used."""

    code = "CS-ORIV-007"


class UnsupportedFormat(MediaError):
    """The file is not a video or picture of a kind the farm takes."""

    code = "CS-ORIV-003"


class Unreadable(MediaError):
    """The file cannot be read as a video or picture."""

    code = "CS-ORIV-007"


class OutOfLimits(MediaError):
    """The picture or video is too large, too small, too short or too long."""

    code = "CS-ORIV-006"


class TooLong(OutOfLimits):
    """The video is longer than the farm takes."""

    code = "CS-ORIV-004"


class NoPerson(MediaError):
    """No person was found in the driving video."""

    code = "CS-UORC01-101"


class UnknownPerson(MediaError):
    """The cast names somebody who is not in the driving video."""

    code = "CS-ORIV-012"


class WrongModel(MediaError):
    """The scene was prepared for another model."""

    code = "CS-ORIV-013"


class NoCharacter(MediaError):
    """No character was found in the picture."""

    code = "CS-UORC01-102"


class EngineError(PipelineError):
    """An engine failed or did not keep its promise."""

    code = "CS-UORC01-103"
    retryable = True


class OutOfMemory(EngineError):
    """The device or the host ran out of memory."""

    code = "CS-UORC01-107"


class ToolError(PipelineError):
    """A program the pipeline runs (ffmpeg, ffprobe) failed; carries the end of its stderr."""

    code = "CS-UORC01-103"
    retryable = True
