"""Credits: what the account has, and how that came about."""

from __future__ import annotations

from flask import Blueprint, Response

from api.context import answer, farm
from api.operation import operation
from api.pages import EntriesQuery
from api.schemas import Allowance, Credits, CreditsAnswer, Entry, FreeWork
from renderfarm import credits, free
from renderfarm.accounts import Principal

blueprint = Blueprint("credits", __name__, url_prefix="/api/credits")


@blueprint.get("")
@operation(key=True, query=EntriesQuery, answers=CreditsAnswer)
def show(account: Principal, query: EntriesQuery) -> Response:
    """Balance, held, and a page of the ledger, newest first."""
    limit, cursor = query.limit, query.cursor
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
