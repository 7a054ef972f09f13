"""A request's ``Idempotency-Key``, from its arrival to its answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request
from sqlalchemy.exc import SQLAlchemyError

from api.context import Farm
from renderfarm import idempotency

log = logging.getLogger(__name__)

#: The header.
HEADER = "Idempotency-Key"
#: How it is documented.
PARAMETER: dict[str, object] = {
    "name": HEADER,
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "A word of your choice for this order. Sent again within 24 hours with the same fields "
    "and files, it is answered with the same job, marked `Idempotency-Replayed: true`, and charged once; "
    "with others, or while the first is still coming in, with CS-UORC01-113. A request that was refused "
    "leaves its key free.",
}


@contextmanager
def idempotent(here: Farm, account_id: str) -> Iterator[idempotency.Hold | idempotency.Settled | None]:
    """The request's hold on its key, what the key was settled with, or None where it brings no key.

    The hold ends with the block where that raises: what was not taken may be sent again.
    Raises CS-UORC01-002 for a key that is none, and CS-UORC01-113 while another request holds it.
    """
    key = request.headers.get(HEADER)
    if key is None:
        yield None
        return
    with here.database.begin() as session:
        taken = idempotency.take(session, here.settings, account_id, idempotency.checked(key))
    try:
        yield taken
    except BaseException:
        if isinstance(taken, idempotency.Hold):
            _free(here, taken)
        raise


def _free(here: Farm, hold: idempotency.Hold) -> None:
    try:
        with here.database.begin() as session:
            idempotency.free(session, hold)
    except SQLAlchemyError:
        log.warning("an Idempotency-Key stays held until its lease runs out", exc_info=True)
