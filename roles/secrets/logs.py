"""A logger that says nothing secret, for who is handed secrets."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from roles.secrets.redaction import Redactor

Logger = logging.Logger | logging.LoggerAdapter[Any]


class DiscreetLogger(logging.LoggerAdapter[Any]):
    """Writes what another logger would write, without the values of secrets."""

    def __init__(self, logger: Logger, redactor: Redactor) -> None:
        super().__init__(logger)
        self._redactor = redactor

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Put the message together here, tracebacks too, where it can be redacted."""
        if not self.isEnabledFor(level):
            return
        text = str(msg) % args if args else str(msg)
        if raised := options.pop("exc_info", None):
            text = f"{text}\n{_traceback(raised)}"
        options["extra"] = self._redactor.value(dict(options.get("extra") or {}))
        options["stacklevel"] = (
            options.get("stacklevel", 1) + 2
        )  # past this, and info()
        self.logger.log(level, "%s", self._redactor.text(text), **options)


def discreet(logger: Logger, redactor: Redactor) -> Logger:
    """Return a logger for an attempt; the same one where there is no secret."""
    return DiscreetLogger(logger, redactor) if redactor else logger


def _traceback(raised: Any) -> str:
    if isinstance(raised, BaseException):
        return "".join(traceback.format_exception(raised))
    return traceback.format_exc()
