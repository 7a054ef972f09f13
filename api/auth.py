"""Who is asking, and what their key may do."""

from __future__ import annotations

from flask import request

from api.context import farm
from renderfarm import accounts, context, views
from renderfarm.accounts import Principal, Scope
from renderfarm.errors import FarmError

_READING = ("GET", "HEAD")
#: What ``require_sight`` may refuse with, besides CS-UORC01-110.
SIGHT = ("CS-ORAU-001", "CS-ORAU-002", "CS-UORC01-119")


def require_account(scope: Scope | None = None) -> Principal:
    """The account whose key the request carries.

    The key needs ``scope``: where the view names none, ``read`` for what only looks and ``render`` for what
    changes something. CS-ORAU-001 without a key, -002 with a wrong one, CS-UORC01-119 where it lacks the
    scope. Reads the header alone: no byte of the body is taken from someone we do not know.
    """
    scheme, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise FarmError("CS-ORAU-001")
    principal = accounts.authenticate(farm().database, secret)
    if principal is None:
        raise FarmError("CS-ORAU-002")
    context.note(account=principal.id)
    needed = scope or (Scope.READ if request.method in _READING else Scope.RENDER)
    if needed not in principal.scopes:
        raise FarmError("CS-UORC01-119", f"The key lacks the scope `{needed}`.")
    return principal


def require_sight(job_id: str) -> None:
    """Return where the request may see the job: always, unless this farm shows jobs to their accounts alone.

    Then CS-UORC01-110 for another account's job as for one that is not there.
    """
    if not farm().settings.status_needs_key:
        return
    principal = require_account(Scope.READ)
    if not views.is_of(farm().database, principal.id, job_id):
        raise FarmError("CS-UORC01-110")
