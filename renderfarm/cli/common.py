"""What the commands share: where the farm is, how to reach it, how to print."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from renderfarm.local.errors import StackError
from renderfarm.local.home import Home
from renderfarm.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from renderfarm.client import Client
    from renderfarm.db import Database
    from renderfarm.models import Account

#: The checkout: samples, tests, pyproject.toml.
ROOT = Path(__file__).resolve().parents[2]


def _note_json(ctx: click.Context, _: click.Parameter, wanted: bool) -> bool:
    ctx.meta[JSON] = ctx.meta.get(JSON, False) or wanted
    return wanted


#: Where the context keeps whether JSON was asked for: errors are then printed so, too.
JSON = "renderfarm.json"

as_json = click.option("--json", "as_json", is_flag=True, callback=_note_json, help="Print JSON.")


class _Lasts(click.ParamType[timedelta]):
    """A length of time: ``30d``, ``12h``, ``15m``, ``90s``."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if isinstance(value, timedelta):
            return value
        if found is None:
            self.fail("not such as 30d, 12h, 15m", param, ctx)
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
        return timedelta(**{unit: int(found[1])})


LASTS = _Lasts()


class _Source(click.ParamType[Path | str]):
    """A file that is there, or the address of one, which the farm fetches by itself."""

    name = "file or address"
    _file = click.Path(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            return value
        return self._file.convert(str(value), param, ctx)


SOURCE = _Source()


def home() -> Home:
    """This machine's farm folder."""
    return Home.find(os.environ)


def settings() -> Settings:
    """The settings of the environment when it names a database, else of the farm that runs here."""
    if os.environ.get("DATABASE_URL"):
        return Settings.from_env()
    from renderfarm.local.programs import environment
    from renderfarm.local.stack import Stack

    folder = home()
    state = Stack(folder, os.environ).running()
    if state is None:
        raise StackError("The farm is not running.", "Start it with `farm up`, or set DATABASE_URL.")
    return Settings.from_env(environment(folder, state, os.environ))


def rows_at_hand() -> bool:
    """Whether whoever asks runs the farm: its database is set, or it runs here and no other is asked."""
    if os.environ.get("DATABASE_URL"):
        return True
    from renderfarm.local.stack import Stack

    return not os.environ.get("FARM_API_URL") and Stack(home(), os.environ).running() is not None


@contextmanager
def transaction() -> Iterator[Session]:
    """One transaction on the farm's database."""
    with reached() as (_, database), database.begin() as session:
        yield session


@contextmanager
def reached() -> Iterator[tuple[Settings, Database]]:
    """The farm's settings and its database, for what takes more than one transaction."""
    from sqlalchemy.exc import OperationalError

    from renderfarm.db import Database

    ours = settings()
    database = Database(ours.database_url, pool_size=1)
    try:
        yield ours, database
    except OperationalError as error:
        raise StackError(f"The database does not answer: {error.orig}", "See `farm status`.") from error
    finally:
        database.close()


def actor() -> str:
    """Who acts, for the audit log: the user of this machine."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        return f"uid {os.getuid()}"


def account_named(session: Session, name: str) -> Account:
    """The account; raises ``StackError`` when there is none."""
    from renderfarm.accounts import find_account

    account = find_account(session, name)
    if account is None:
        raise StackError(f"There is no account {name!r}.", f"Make it with `farm accounts create {name}`.")
    return account


def client(url: str = "") -> Client:
    """The way to the API: ``FARM_API_URL`` and ``FARM_API_KEY``, else the farm of this machine."""
    from renderfarm.client import Client
    from renderfarm.local.state import API_PORT, State

    folder = home()
    state = State.load(folder.state)
    local = state.api_url if state else f"http://127.0.0.1:{API_PORT}"
    key = os.environ.get("FARM_API_KEY", "")
    if not key and folder.key.exists():
        key = folder.key.read_text().strip()
    return Client(url or os.environ.get("FARM_API_URL") or local, key)


def emit(data: object, as_json: bool, show: Callable[[], None]) -> None:
    """Print ``data`` as JSON, or what ``show`` prints for people."""
    if as_json:
        click.echo(json.dumps(data, indent=2, default=_plain))
    else:
        show()


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows; a column's heading is its name."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        # What ffmpeg says begins with [h264 @ ...], which is no markup of ours.
        drawn.add_row(*(escape(_cell(row.get(column))) for column in columns))
    # Where nobody looks, lines are not broken: the next command in the pipe reads them.
    Console(width=None if sys.stdout.isatty() else 200).print(drawn)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return shown(str(value))


def shown(text: str) -> str:
    """As a terminal may show what users have written: without what would move its cursor, or do more."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
