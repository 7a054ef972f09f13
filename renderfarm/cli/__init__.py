"""``farm``: the command line. One file a noun; what is heavy is imported by the command that needs it."""

from __future__ import annotations

from typing import Any

import click

from renderfarm.cli.accounts import accounts
from renderfarm.cli.assets import characters, scenes
from renderfarm.cli.audit import audit
from renderfarm.cli.bench import bench
from renderfarm.cli.bucket import bucket
from renderfarm.cli.completion import completion
from renderfarm.cli.credits import credits
from renderfarm.cli.failure import KNOWN, TEXT, Failure
from renderfarm.cli.gc import gc
from renderfarm.cli.jobs import job, jobs
from renderfarm.cli.keys import keys
from renderfarm.cli.processes import courier, dispatcher, exporter, migrate
from renderfarm.cli.render import demo, render
from renderfarm.cli.sheet import sheet
from renderfarm.cli.simulate import simulate
from renderfarm.cli.stack import down, status, up
from renderfarm.cli.templates import templates
from renderfarm.cli.test import test
from renderfarm.cli.webhooks import webhooks


class Farm(click.Group):
    """Turns the errors of the rooms below into failures that say what to do."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (*KNOWN, KeyboardInterrupt) as error:
            raise Failure(error) from error


@click.group(cls=Farm, context_settings={"help_option_names": ["-h", "--help"]}, epilog=TEXT)
def main() -> None:
    """A render farm for character animation, on this machine."""


for _command in (
    *(up, down, status, demo, render, jobs, job, sheet),
    *(characters, scenes, templates),
    *(accounts, keys, credits, webhooks, audit, completion),
    *(gc, test, bench, simulate, migrate, bucket, dispatcher, courier, exporter),
):
    main.add_command(_command)
