"""What goes wrong with a farm on one machine."""

from __future__ import annotations


class StackError(Exception):
    """The farm cannot be started or reached; ``action`` says what to do about it."""

    def __init__(self, message: str, action: str = "") -> None:
        super().__init__(message)
        self.action = action
