"""``farm up``, ``farm down`` and ``farm status``: the farm on this machine."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING

import click

from renderfarm.cli.common import as_json, emit, home, table
from renderfarm.local.errors import StackError

if TYPE_CHECKING:
    from renderfarm.local.interrupts import Interrupts
    from renderfarm.local.logs import Follower
    from renderfarm.local.stack import Stack
    from renderfarm.local.state import State

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")
_LOOK = 0.3


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Leave it running and come back.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The API's port, if it is free.")
@click.option("--v3", default=1, show_default=True, type=click.IntRange(1, 64), help="Workers of V3.")
@click.option("--v4", default=1, show_default=True, type=click.IntRange(1, 64), help="Workers of V4.")
def up(detach: bool, port: int, v3: int, v4: int) -> None:
    """Start the farm, and show its logs until Ctrl-C stops it.

    What it keeps lies in .farm; start it again and all is still there. Fast jobs need two workers of
    their model.
    """
    from renderfarm.local.interrupts import Interrupts
    from renderfarm.local.logs import Follower
    from renderfarm.local.stack import Stack

    stack = Stack(home(), os.environ)
    stack.home.create()
    follower = None if detach else Follower(stack.home.logs, _Printer())
    try:
        with Interrupts() as interrupts:
            try:
                state = stack.start(interrupts, port, lambda step: _tell(f"{step} ..."), {"v3": v3, "v4": v4})
                if not stack.owned:
                    asked = port not in (0, state.ports["api"])
                    _tell("it runs already" + (", on another port: `farm down` first" if asked else ""))
                _greet(stack, state)
                if stack.owned and follower is not None:
                    _stay(stack, follower, interrupts)
            except BaseException as error:
                if stack.owned:
                    _tell("stopping ... (once more to hurry)")
                    stack.stop(interrupts.hurried)
                    _tell("stopped")
                if not isinstance(error, KeyboardInterrupt):
                    raise
    finally:
        if follower is not None:
            follower.close()


@click.command()
def down() -> None:
    """Stop the farm, whatever state it is in."""
    from renderfarm.local.interrupts import Interrupts
    from renderfarm.local.stack import Stack

    with Interrupts() as interrupts:
        stack = Stack(home(), os.environ)
        try:
            stopped = stack.stop(interrupts.hurried)
        except KeyboardInterrupt:  # half a stop is worse than a slow one
            stopped = stack.stop(interrupts.hurried)
    click.echo("stopped" if stopped else "nothing was running")


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show the farm's processes and addresses; exits with 1 when it does not run."""
    from renderfarm.local.stack import Stack

    stack = Stack(home(), os.environ)
    state = stack.running()
    if state is None:
        emit({"running": False, "processes": []}, as_json, lambda: click.echo("The farm is not running."))
        sys.exit(1)
    rows = [
        {
            "process": one["name"],
            "state": one["statename"].lower(),
            "pid": one["pid"] or None,
            "seconds": max(0, one["now"] - one["start"]) if one["pid"] else None,
        }
        for one in stack.processes(state)
    ]
    addresses = {"api": state.api_url, "flower": state.flower_url}

    def show() -> None:
        table(("process", "state", "pid", "seconds"), rows)
        _greet(stack, state)

    emit({"running": True, **addresses, "processes": rows}, as_json, show)


def _tell(text: str) -> None:
    with suppress(OSError):  # a closed pipe must not keep us from stopping
        click.echo(text, err=True)


def _greet(stack: Stack, state: State) -> None:
    root = stack.home.root
    lines = {
        "API": f"{state.api_url}   (its page: {state.api_url}/docs)",
        "API key": f"{stack.home.key.read_text().strip()}   (kept in {stack.home.key})",
        "Flower": f"{state.flower_url}   (user farm, password in {root / 'flower.password'})",
    }
    for name, text in lines.items():
        click.echo(f"{click.style(f'{name:<8}', bold=True)} {text}")


def _stay(stack: Stack, follower: Follower, interrupts: Interrupts) -> None:
    """Until somebody interrupts, stops the farm from elsewhere, or closes our output."""
    from renderfarm.local.processes import alive, supervisor_of

    supervisor = supervisor_of(stack.home.stack_id)
    while supervisor is not None and alive(supervisor):
        # A signal that falls into a finaliser raises where nobody hears it: it has been counted.
        if follower.deaf.is_set() or interrupts.count:
            raise KeyboardInterrupt
        time.sleep(_LOOK)
    _tell("the farm has ended")
    if stack.stop(interrupts.hurried):
        raise StackError("The farm's supervisor died; the rest was stopped.", "Start it with `farm up`.")


class _Printer:
    """Prints log lines behind their process's name, each name in a colour of its own."""

    def __init__(self) -> None:
        self._colours = cycle(_COLOURS)
        self._of: dict[str, str] = {}

    def __call__(self, name: str, line: str) -> None:
        colour = self._of.setdefault(name, next(self._colours))
        click.echo(f"{click.style(f'{name:<10} |', fg=colour)} {line}")
