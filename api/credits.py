"""Credits: what the account has, and how that came about."""

from __future__ import annotations

from flask import Blueprint, Response, request

from api.auth import require_account
from api.context import answer, farm
from api.pages import page_size
from api.schemas import Allowance, Credits, CreditsAnswer, Entry, FreeWork
from renderfarm import credits, free
from renderfarm.errors import FarmError

blueprint = Blueprint("credits", __name__, url_prefix="/api/credits")

_MOST_DIGITS = 18  # of a 64-bit number


@blueprint.get("")
def show() -> Response:
    """Balance, held, and a page of the ledger, newest first."""
    account = require_account()
    limit, cursor = page_size(), request.args.get("cursor") or None
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _MOST_DIGITS):
        raise FarmError("CS-UORC01-002", "`cursor` is not one that a page has given.")
    with farm().database.begin() as session:
        rows = credits.entries(session, account.id, int(cursor) if cursor else None, limit + 1)
        had = [count(session, farm().settings, account.id) for count in (free.preprocess, free.cancels)]
    preprocess, cancels = (Allowance.model_validate(each, from_attributes=True) for each in had)
    found = Credits(
        balance=account.available,
        held=account.held,
        free=FreeWork(preprocess=preprocess, cancels=cancels),
        entries=[Entry.model_validate(row, from_attributes=True) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].id) if len(rows) > limit else None,
    )
    return answer(CreditsAnswer(**dict(found), data=found))
