"""A net under the logs: what opens something is blacked out of every line, should it ever get there."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"""
    (?P<keep>\b(?:sk-|whsec_)                                    # keys, and secrets of webhooks
      |\bX-Amz-(?:Signature|Credential|Security-Token)=         # addresses that S3 has signed
      |://[^\s:/@]*:(?=[^\s/@]+@)                               # passwords in addresses
      |\b\w*SECRET_(?:ACCESS_)?KEY["']?\s*[:=]\s*["']?)          # an environment, or settings
    [^\s&"'<>@]+
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: One of these is in all that matches, and none of them is anything that JSON writes otherwise.
_MARKS = ("sk-", "whsec_", "x-amz-", "://", "secret_")
#: What is shorter would be found in words that are none.
_SHORTEST = 6


def redact(line: str, known: str = "") -> str:
    """The line without its secrets; how each begins stays, to tell what it was.

    ``known`` is one that looks like nothing in particular.
    """
    if len(known) >= _SHORTEST:
        line = line.replace(known, "***")
    return _SECRET.sub(r"\g<keep>***", line)


def may_tell(line: str) -> bool:
    """Whether there may be a secret in the line: in nearly all there is nothing that looks like one."""
    lower = line.lower()
    return any(mark in lower for mark in _MARKS)
