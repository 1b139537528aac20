"""Follow the demo's first execution and say once how it ended."""

from __future__ import annotations

import time

from config.dev import web
from config.dev.terminal import say

LOOK_SECONDS = 0.4
PATIENCE_SECONDS = 120.0
TERMINAL = frozenset({"completed", "failed", "cancelled", "timed_out"})


class Demo:
    def __init__(self, url: str, api_key: str, execution_id: str | None) -> None:
        self._url = url
        self._api_key = api_key
        self._id = execution_id
        self._since = self._next = time.monotonic()

    def look(self) -> None:
        """Ask now and then; does nothing once the end has been told."""
        now = time.monotonic()
        if self._id is None or now < self._next:
            return
        self._next = now + LOOK_SECONDS
        found = web.execution(self._url, self._api_key, self._id) or {}
        status = found.get("status", "unknown")
        if status in TERMINAL:
            milliseconds = found.get("duration_ms") or 0
            self._tell(f"{status} in {milliseconds / 1000:.1f} s")
        elif now - self._since > PATIENCE_SECONDS:
            self._tell(f"is still {status}; look at the workers' logs")

    def _tell(self, what: str) -> None:
        say(f"  Demo      execution {self._id} {what}")
        self._id = None
