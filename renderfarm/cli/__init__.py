"""``farm``: the command line. One file a noun; what is heavy is imported by the command that needs it."""

from __future__ import annotations

from typing import Any

import click

from renderfarm.cli.accounts import accounts
from renderfarm.cli.bench import bench
from renderfarm.cli.credits import credits
from renderfarm.cli.jobs import job, jobs
from renderfarm.cli.keys import keys
from renderfarm.cli.processes import courier, dispatcher, exporter, migrate
from renderfarm.cli.render import demo, render
from renderfarm.cli.sheet import sheet
from renderfarm.cli.stack import down, status, up
from renderfarm.cli.test import test
from renderfarm.cli.webhooks import webhooks
from renderfarm.client import ClientError
from renderfarm.errors import FarmError
from renderfarm.local.errors import StackError
from renderfarm.settings import SettingsError


class Failure(click.ClickException):
    """An error in the words of whoever reads it: what happened, then what to do."""

    def __init__(self, error: Exception, message: str, action: str = "", code: str = "") -> None:
        super().__init__(message)
        self.__cause__ = error
        self._action, self._code = action, code

    def show(self, file: Any = None) -> None:
        code = f" ({self._code})" if self._code else ""
        click.secho(f"Error: {self.message}{code}", fg="red", err=True)
        if self._action:
            click.echo(self._action, err=True)


class Farm(click.Group):
    """Turns the errors of the rooms below into failures that say what to do."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FarmError as error:
            raise Failure(error, error.message, error.public.action, error.code) from error
        except StackError as error:
            raise Failure(error, str(error), error.action) from error
        except SettingsError as error:
            raise Failure(error, str(error)) from error
        except ClientError as error:
            raise Failure(error, str(error), error.action, error.code) from error


@click.group(cls=Farm, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A render farm for character animation, on this machine."""


for _command in (
    *(up, down, status, demo, render, jobs, job, sheet),
    *(accounts, keys, credits, webhooks),
    *(test, bench, migrate, dispatcher, courier, exporter),
):
    main.add_command(_command)
