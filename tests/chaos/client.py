"""
What clients ask during a run, with every answer counted.

503 is an answer that asks to come again; no answer at all is what a killed web
process gives. Anything else than the expected is kept with its text.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.fleet import ChaosFleet

NO_ANSWER = "no answer"
_TIMEOUT_S = 10.0
_MOST_KEPT = 20


@dataclass(slots=True)
class Client:
    """`accepted` are the executions that a 202 has promised, by their shape."""

    http: httpx.Client
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, fleet: ChaosFleet) -> Client:
        theirs = fleet.client
        return cls(
            httpx.Client(
                base_url=theirs.base_url,
                headers=theirs.headers,
                timeout=_TIMEOUT_S,
                trust_env=False,
            )
        )

    def post(
        self,
        verb: str,
        path: str,
        body: Any,
        *,
        expected: Collection[int],
        key: str | None = None,
    ) -> httpx.Response | None:
        """Ask once; None without an answer, or when it was to come again."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = None
        with contextlib.suppress(httpx.HTTPError):
            answer = self.http.post(path, json=body, headers=headers)
        self._count(verb, answer, expected)
        return None if answer is None or answer.status_code == 503 else answer

    def accept(self, answer: httpx.Response | None, shape: str) -> None:
        """Remember the execution that an answer has promised."""
        if answer is not None and answer.status_code == 202:
            with self._lock:
                self.accepted[answer.json()["id"]] = shape

    def _count(
        self, verb: str, answer: httpx.Response | None, expected: Collection[int]
    ) -> None:
        code = NO_ANSWER if answer is None else str(answer.status_code)
        with self._lock:
            self.answers[verb, code] += 1
            if answer is None or answer.status_code in {503, *expected}:
                return
            if len(self.unexpected) < _MOST_KEPT:
                self.unexpected.append(f"{verb}: {code} {answer.text[:500]}")
