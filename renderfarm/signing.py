"""Signatures of webhooks, in the form of the Standard Webhooks specification (``v1``).

What is signed is ``id.timestamp.body`` with HMAC-SHA256, under a key that a secret ``whsec_<base64>``
holds. While a secret is changed for another, a message carries one signature for each.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
import time
from collections.abc import Mapping, Sequence

#: Names a secret as one of these.
PREFIX = "whsec_"
#: The headers of a message.
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

_VERSION = "v1"
_NEW_BYTES = 32
_FEWEST_BYTES, _MOST_BYTES = 24, 64


class BadSignature(Exception):
    """The message does not come from whoever has the secret, or it is too old to be believed."""


def new_secret() -> str:
    """A secret that nobody can guess: ``whsec_`` and 32 bytes in base64."""
    return PREFIX + base64.b64encode(randomness.token_bytes(_NEW_BYTES)).decode()


def sign(secret: str, msg_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message, ``v1,<base64>``; ``timestamp`` in seconds since 1970.

    Raises ``ValueError`` for what is no secret.
    """
    signed = b".".join((msg_id.encode(), str(timestamp).encode(), body))
    return f"{_VERSION},{base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()}"


def signed_headers(secrets: Sequence[str], msg_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message, with a signature of each secret."""
    return {
        ID: msg_id,
        TIMESTAMP: str(timestamp),
        SIGNATURE: " ".join(sign(secret, msg_id, timestamp, body) for secret in secrets),
    }


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, tolerance: float = 300) -> None:
    """Return when one of the secrets has signed this message; ``BadSignature`` otherwise.

    ``body`` is as it came over the wire, before any parsing; names of headers are read in any case.
    ``tolerance`` is how far the message's clock and ours may differ, in seconds: what somebody has
    recorded cannot be sent again later. Raises ``ValueError`` for what is no secret.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        msg_id, moment, signatures = given[ID], given[TIMESTAMP], given[SIGNATURE]
        # Digits alone: int() also takes "1_0", which would be signed as something else.
        timestamp = int(moment) if moment.isascii() and moment.isdigit() and len(moment) < 16 else None
    except KeyError as error:
        raise BadSignature(f"The header `{error.args[0]}` is missing.") from error
    if timestamp is None:
        raise BadSignature(f"`{TIMESTAMP}` is no number of seconds.")
    if abs(time.time() - timestamp) > tolerance:
        raise BadSignature("The message was signed too long ago, or in the future.")
    right = [sign(secret, msg_id, timestamp, body).encode() for secret in secrets]
    # Each with each, whatever was found already: the time it takes tells nothing.
    matches = [hmac.compare_digest(ours, one.encode()) for one in signatures.split() for ours in right]
    if not any(matches):
        raise BadSignature("No signature is of a known secret.")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("The secret is not base64.") from error
    if not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"The secret holds {len(key)} bytes, not {_FEWEST_BYTES} to {_MOST_BYTES}.")
    return key
