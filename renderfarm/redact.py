"""A net under the logs: what opens something is blacked out of every line, should it ever get there."""

from __future__ import annotations

import logging
import re

from renderfarm.settings import Settings

_SECRET = re.compile(
    r"""
    (?P<keep>\b(?:sk-|whsec_)                                    # keys, and secrets of webhooks
      |\bX-Amz-(?:Signature|Credential|Security-Token)=         # addresses that S3 has signed
      |[?&](?:md5|Signature|Policy)=                            # and that nginx or CloudFront checks
      |://[^\s:/@]*:(?=[^\s/@]+@)                               # passwords in addresses
      |\b\w*SECRET_(?:ACCESS_)?KEY["']?\s*[:=]\s*["']?)          # an environment, or settings
    [^\s&"'<>@]+
    |(?P<begin>-----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----)[^-]*
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: What is shorter would be found in words that are none.
_SHORTEST = 6
#: gunicorn's loggers keep their lines to themselves.
_LOGGERS = ("", "gunicorn.error", "gunicorn.access")


def redact(line: str, *known: str) -> str:
    """The line without its secrets; how each begins stays, to tell what it was.

    ``known`` are those that look like nothing in particular.
    """
    for secret in known:
        if len(secret) >= _SHORTEST:
            line = line.replace(secret, "***")
    return _SECRET.sub(r"\g<keep>\g<begin>***", line)


class _Discreet(logging.Formatter):
    """Another formatter's lines, tracebacks among them, without secrets."""

    def __init__(self, inner: logging.Formatter, known: tuple[str, ...]) -> None:
        super().__init__()
        self._inner = inner
        self._known = known

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._inner.format(record), *self._known)


def install(settings: Settings) -> None:
    """Let no handler that is set up by now write a secret: once in each process, when it has its log."""
    handlers = [handler for name in _LOGGERS for handler in logging.getLogger(name).handlers]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        inner = handler.formatter or logging.Formatter()
        if not isinstance(inner, _Discreet):
            handler.setFormatter(_Discreet(inner, settings.secrets))
