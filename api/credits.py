"""Credits: what the account has, and how that came about."""

from __future__ import annotations

from flask import Blueprint, Response

from api.context import answer, farm
from api.operation import operation
from api.pages import EntriesQuery
from api.schemas import Credits, CreditsAnswer, Entry
from renderfarm import credits
from renderfarm.models import Account

blueprint = Blueprint("credits", __name__, url_prefix="/api/credits")


@blueprint.get("")
@operation(key=True, query=EntriesQuery, answers=CreditsAnswer)
def show(account: Account, query: EntriesQuery) -> Response:
    """Balance, held, and a page of the ledger, newest first."""
    limit, cursor = query.limit, query.cursor
    with farm().database.begin() as session:
        rows = credits.entries(session, account.id, int(cursor) if cursor else None, limit + 1)
    found = Credits(
        balance=account.available,
        held=account.held,
        entries=[Entry.model_validate(row, from_attributes=True) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].id) if len(rows) > limit else None,
    )
    return answer(CreditsAnswer(**dict(found), data=found))
