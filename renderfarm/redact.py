"""A net under the logs: what opens something is blacked out of every line, should it ever get there."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"""
    (?P<keep>\b(?:sk-|whsec_)                                    # keys, and secrets of webhooks
      |\bX-Amz-(?:Signature|Credential|Security-Token)=         # addresses that S3 has signed
      |[?&](?:md5|Signature|Policy)=                            # and that nginx or CloudFront checks
      |\b\w*SECRET_(?:ACCESS_)?KEY["']?\s*[:=]\s*["']?)          # an environment, or settings
    [^\s&"'<>@]+
    |(?P<address>://[^\s:/@]*:)[^\s/@"<>]+(?=@)                # passwords in addresses
    |(?P<begin>-----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----)[^-]*
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: One of these is in all that matches, and none of them is anything that JSON writes otherwise.
_MARKS = ("sk-", "whsec_", "x-amz-", "md5=", "signature=", "policy=", "private key", "://", "secret_")
#: What is shorter would be found in words that are none.
_SHORTEST = 6


def redact(line: str, *known: str) -> str:
    """The line without its secrets; how each begins stays, to tell what it was.

    ``known`` are those that look like nothing in particular.
    """
    for secret in known:
        if len(secret) >= _SHORTEST:
            line = line.replace(secret, "***")
    return _SECRET.sub(r"\g<keep>\g<address>\g<begin>***", line)


def may_tell(line: str) -> bool:
    """Whether there may be a secret in the line: in nearly all there is nothing that looks like one."""
    lower = line.lower()
    return any(mark in lower for mark in _MARKS)
