"""What a command that fails says, and the code it ends with."""

from __future__ import annotations

import json
from typing import Any

import click

from renderfarm.cli.common import JSON
from renderfarm.client import ClientError, JobFailed, Unreachable
from renderfarm.errors import TABLE, FarmError
from renderfarm.local.errors import StackError
from renderfarm.settings import SettingsError

FAILED, REFUSED, NOT_FOUND, NO_CREDITS, UNREACHABLE, INTERRUPTED = 1, 3, 4, 5, 6, 130
#: As ``farm --help`` shows it. 2 is click's own.
TEXT = """\b
Exit codes:
    0  done
    1  the job failed, or this machine cannot do it
    2  the command is not written so
    3  the farm refused
    4  not found
    5  not enough credits
    6  nobody answers at the farm's address
  130  interrupted
"""
_BY_STATUS = {404: NOT_FOUND, 402: NO_CREDITS}

#: The errors of the rooms below; all others are faults of ours.
KNOWN = (FarmError, StackError, SettingsError, ClientError)


class Failure(click.ClickException):
    """An error in the words of whoever reads it: what happened, then what to do; JSON where that is read."""

    def __init__(self, error: BaseException) -> None:
        said = error.message if isinstance(error, FarmError) else str(error)
        super().__init__(said or "Interrupted.")
        self.__cause__ = error
        self._action, self._code = getattr(error, "action", ""), getattr(error, "code", "")
        if isinstance(error, FarmError):
            self._action = error.public.action
        self._ends_with = _exit_code(error, self._code)
        context = click.get_current_context(silent=True)
        self._as_json = context is not None and bool(context.meta.get(JSON))

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click keeps it on the class
        return self._ends_with

    def show(self, file: Any = None) -> None:
        if self._as_json:
            said = {"error_code": self._code, "message": self.message, "action": self._action}
            click.echo(json.dumps({**said, "exit_code": self.exit_code}), err=True)
            return
        code = f" ({self._code})" if self._code else ""
        click.secho(f"Error: {self.message}{code}", fg="red", err=True)
        if self._action:
            click.echo(self._action, err=True)


def _exit_code(error: BaseException, code: str) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, Unreachable):
        return UNREACHABLE
    if isinstance(error, StackError | SettingsError | JobFailed):
        return FAILED
    return _BY_STATUS.get(TABLE[code].status, REFUSED) if code in TABLE else REFUSED
