"""Who is asking."""

from __future__ import annotations

from flask import request

from api.context import farm
from renderfarm import accounts
from renderfarm.errors import FarmError
from renderfarm.models import Account


def require_account() -> Account:
    """The account whose key the request carries; CS-ORAU-001 without a key, -002 with a wrong one.

    Reads the header alone: no byte of the body is taken from someone we do not know.
    """
    scheme, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise FarmError("CS-ORAU-001")
    with farm().database.begin() as session:
        account = accounts.authenticate(session, secret)
    if account is None:
        raise FarmError("CS-ORAU-002")
    return account
