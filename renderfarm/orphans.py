"""What the store and the rows do not agree on: objects that no row knows, and rows whose object is missing.

Both are read in the order of their keys and side by side, so that neither is ever in memory as a whole. An
object is an orphan where no row claims it, and it is older than what may be in the making: the farm itself
leaves none, but a restored backup does, or another program's hand. What has a name that the farm gives to
nothing is not the farm's: above all an empty object for a folder, as S3's own console makes them, whose name
would stand for all that is in the folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import text
from sqlalchemy.orm import Session

from renderfarm.db import may_idle
from renderfarm.storage import Entry, Storage, is_key

#: All that the farm stores is under these, in order; what else is in the bucket is somebody else's.
FOLDERS = ("in/", "out/", "work/")
_PAGE = 1000

#: Every key that a row claims, with whether its object has to be there. One that ends in ``/`` or ``/*`` is
#: claimed with all that is under it: by the garbage, and by jobs whose workers write there.
_CLAIMS = text(
    """
    WITH living AS (
        SELECT j.id, j.inputs, j.outputs, j.kind, j.status FROM jobs j
        WHERE j.status IN ('queued', 'processing')
            OR j.status = 'complete' AND (j.kind = 'render' OR EXISTS (
                SELECT FROM assets a WHERE a.job_id = j.id AND (a.deleted_at IS NULL OR EXISTS (
                    SELECT FROM asset_uses u JOIN jobs b ON b.id = u.job_id
                    WHERE u.asset_id = a.id AND b.status IN ('queued', 'processing')))))
    ), claims(key, needed) AS (
        SELECT each.value, true FROM living, jsonb_each_text(outputs) each
        UNION ALL
        -- What an ended render was lent may have gone with its asset.
        SELECT each.value, status <> 'complete' OR kind <> 'render'
            OR NOT EXISTS (SELECT FROM asset_uses u WHERE u.job_id = living.id)
        FROM living, jsonb_each_text(inputs) each
        UNION ALL
        SELECT a.key, true FROM artifacts a JOIN living ON living.id = a.job_id
        WHERE living.status <> 'complete' OR living.kind <> 'render'
        UNION ALL
        SELECT 'work/' || id || '/', false FROM living WHERE status <> 'complete'
        UNION ALL
        SELECT key, false FROM uploads
        UNION ALL
        SELECT key, false FROM garbage
    )
    SELECT key COLLATE "C" AS key, bool_or(needed) AS needed FROM claims GROUP BY 1 ORDER BY 1
    """
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that a row names."""

    key: str
    needed: bool

    @property
    def is_folder(self) -> bool:
        """Whether it is on all that is under it; it comes before that in the order of keys."""
        return self.key.endswith(("/", "/*"))

    def covers(self, key: str) -> bool:
        """Whether a folder's claim is on ``key``, too."""
        return key.startswith(self.key.removesuffix("*"))


@dataclass(slots=True)
class Tally:
    """What was met."""

    objects: int = 0
    bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    #: Objects that no row claims and that are too young to be called orphans.
    young: int = 0
    missing: int = 0


def compare(
    session: Session,
    storage: Storage,
    grace: float,
    orphan: Callable[[Entry], None],
    missing: Callable[[str], None],
) -> Tally:
    """Call ``orphan`` and ``missing`` for what has no counterpart, in order of keys; how much there was.

    ``grace`` is for how many seconds an object without a row is left in peace. The rows are as they were when
    the listing of the store began: who is younger than that is never an orphan.
    """
    may_idle(session)  # nothing is locked meanwhile
    rows = session.execute(_CLAIMS, execution_options={"yield_per": _PAGE})
    tally, oldest = Tally(), time.time() - max(grace, 0.0)
    objects = chain.from_iterable(map(storage.entries, FOLDERS))
    for entry, claim in _side_by_side(objects, (Claim(row.key, row.needed) for row in rows)):
        if entry is None:
            if claim is not None and claim.needed:
                tally.missing += 1
                missing(claim.key)
            continue
        tally.objects += 1
        tally.bytes += entry.size
        if claim is not None or not is_key(entry.key):
            continue
        if entry.modified > oldest:
            tally.young += 1
            continue
        tally.orphans += 1
        tally.orphan_bytes += entry.size
        orphan(entry)
    return tally


def _side_by_side(
    objects: Iterator[Entry], claims: Iterator[Claim]
) -> Iterator[tuple[Entry | None, Claim | None]]:
    """Each object with the claim on it, if there is one, and each claim on an object that is not there."""
    claim, folder = next(claims, None), None
    for entry in objects:
        while claim is not None and claim.key < entry.key:
            if claim.is_folder:
                folder = claim
            else:
                yield None, claim
            claim = next(claims, None)
        if claim is not None and claim.key == entry.key:
            yield entry, claim
            claim = next(claims, None)
        else:
            yield entry, folder if folder is not None and folder.covers(entry.key) else None
    while claim is not None:
        if not claim.is_folder:
            yield None, claim
        claim = next(claims, None)
