"""``farm gc``: files that are past their time, garbage, and what store and rows do not agree on."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from renderfarm.cli.common import LASTS, actor, as_json, emit, reached
from renderfarm.local.errors import StackError

if TYPE_CHECKING:
    from renderfarm.db import Database
    from renderfarm.orphans import Tally
    from renderfarm.settings import Settings
    from renderfarm.storage import Entry, Storage

#: Of so many objects at the least, more than this share without a row is the wrong database, not garbage.
_MANY, _SHARE = 20, 0.5
_PAGE = 500


@click.command()
@click.option("--delete", is_flag=True, help="Make orphans garbage, which goes after FARM_GARBAGE_SECONDS.")
@click.option("--force", is_flag=True, help="Also where most of the store would go.")
@click.option(
    "--grace",
    type=LASTS,
    default="24h",
    show_default=True,
    help="How old an object without a row is before it is an orphan.",
)
@as_json
def gc(delete: bool, force: bool, grace: timedelta, as_json: bool) -> None:
    """Delete what is past its time, and find orphans: objects without a row, and rows without an object."""
    from renderfarm import retention
    from renderfarm.storage import StorageError, open_storage
    from renderfarm.sweep import Sweeper

    with reached() as (ours, database):
        storage = open_storage(ours)
        sweeper = Sweeper(ours, database, storage)
        expired = collected = 0
        while (some := sweeper.expire_files()) >= retention.BATCH:
            expired += some
        expired += some
        while some := sweeper.collect_garbage():
            collected += some
        sweeper.purge_caches()
        try:
            tally = _orphans(ours, database, storage, grace.total_seconds(), delete, force)
        except StorageError as error:
            raise StackError(f"The store does not answer: {error}", "See FARM_STORAGE_URL.") from error
    found = {"renders_expired": expired, "garbage_collected": collected, **asdict(tally), "deleted": delete}

    def show() -> None:
        click.echo(f"{expired} renders were past their time; {collected} pieces of garbage went.")
        click.echo(
            f"{tally.objects} objects ({tally.bytes / 1e6:.1f} MB): {tally.orphans} orphans "
            f"({tally.orphan_bytes / 1e6:.1f} MB), {tally.young} too young to tell; {tally.missing} missing."
        )
        if tally.orphans:
            click.echo("They are garbage now." if delete else "Nothing was done to them: see --delete.")

    emit(found, as_json, show)


def _orphans(
    ours: Settings, database: Database, storage: Storage, grace: float, delete: bool, force: bool
) -> Tally:
    from renderfarm import audit, garbage, orphans
    from renderfarm.db import may_idle

    with database.begin() as session, database.begin() as writing:
        may_idle(writing)  # between two pages of orphans the store may list for long
        page: list[str] = []

        def throw() -> None:
            garbage.throw(writing, ours, page)
            page.clear()

        def orphan(entry: Entry) -> None:
            click.echo(f"orphan   {entry.key}", err=True)
            if delete:
                page.append(entry.key)
                if len(page) == _PAGE:
                    throw()

        def missing(key: str) -> None:
            click.echo(f"missing  {key}", err=True)

        tally = orphans.compare(session, storage, grace, orphan, missing)
        rowless = tally.orphans + tally.young  # a busy store is young for the most part, whosever it is
        if delete and not force and tally.objects >= _MANY and rowless > tally.objects * _SHARE:
            # Nothing of it is committed.
            raise StackError(
                f"{rowless} of {tally.objects} objects have no row: nothing was deleted.",
                "Are DATABASE_URL and FARM_STORAGE_URL of one farm? If so, give --force.",
            )
        throw()
        if delete and tally.orphans:
            audit.write(writing, actor(), "storage.gc", subject=ours.storage_url, orphans=tally.orphans)
    return tally
