"""gunicorn's own lines, written as all others are."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger

from renderfarm import logs
from renderfarm.settings import Settings


class Log(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Hands its lines to the root, which knows what a line looks like."""

    #: Set by ``gunicorn_conf``.
    settings: Settings

    def setup(self, cfg: Any) -> None:
        """Called before the first line, and again with a new configuration."""
        super().setup(cfg)
        logs.configure(self.settings, "api")
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Warn, but of what strangers send in the place of HTTP: nobody is to be woken for that."""
        level = logging.INFO if msg.startswith("Invalid request from") else logging.WARNING
        self.error_log.log(level, msg, *args, **kwargs)
