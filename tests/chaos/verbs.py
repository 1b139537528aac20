"""
People who steer executions at random: cancel, pause and resume, retry, copy, settle.

Whatever an execution's state does not allow is answered with 409, which is fine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.client import Client
from tests.chaos.fleet import ChaosFleet
from tests.chaos.plan import stream

_ACTIVE, _FAILED = ["pending", "running"], ["failed", "cancelled", "timed_out"]
_ENDED = ["completed", *_FAILED]
# Each verb, how often it is chosen, and what it is applied to.
VERBS: dict[str, tuple[int, list[str]]] = {
    "cancel": (2, _ACTIVE),
    "pause": (4, _ACTIVE),
    "terminate": (1, _ACTIVE),
    "retry": (3, _FAILED),
    "fork": (2, _ENDED),
    "rerun": (1, _ENDED),
}
_SETTLEMENTS = ("complete", "fail", "run_again")
_EVERY_S, _REST_S = (0.3, 1.5), (0.3, 5.0)

_CANDIDATES = """
SELECT id::text FROM executions_execution WHERE status = ANY(%s)
ORDER BY id DESC LIMIT 40
"""
_STEPS = """
SELECT path FROM executions_steprun WHERE execution_id = %s ORDER BY ordinal
"""
_ASIDE = """
SELECT s.execution_id::text, s.path FROM executions_steprun s
JOIN executions_execution e ON e.id = s.execution_id
WHERE s.status = 'needs_attention' AND e.finished_at IS NULL
  AND e.cancel_request IS NULL
"""
_PAUSED = """
SELECT id::text FROM executions_execution
WHERE status = 'paused' AND cancel_request IS NULL
"""


@dataclass(slots=True)
class Verbs:
    """`over` ends it; what was paused may still be resumed after that."""

    fleet: ChaosFleet
    client: Client
    seed: int
    over: threading.Event
    random: Random = field(init=False)
    _paused: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = stream(self.seed, "verbs")

    def run(self) -> None:
        while not self.over.wait(self.random.uniform(*_EVERY_S)):
            self.steer()
            self.settle()
            now = time.monotonic()
            self._resume([each for each, at in self._paused.items() if at <= now])

    def steer(self) -> None:
        """Apply one verb to one execution."""
        weights = [weight for weight, _ in VERBS.values()]
        (verb,) = self.random.choices(list(VERBS), weights)
        chance, rest = self.random.random(), self.random.uniform(*_REST_S)
        rows = self.fleet.look(_CANDIDATES, VERBS[verb][1])
        if not rows:
            return
        (execution,) = rows[int(chance * len(rows))]
        self._apply(verb, execution, chance)
        if verb == "pause":
            self._paused[execution] = time.monotonic() + rest

    def _apply(self, verb: str, execution: str, chance: float) -> None:
        body: dict[str, Any] = {}
        if verb == "fork":
            steps = self.fleet.look(_STEPS, execution)
            if not steps:
                return
            body = {"from_step": steps[int(chance * len(steps))][0]}
        answer = self._ask(verb, execution, body, expected=(200, 202, 409))
        self.client.accept(answer, verb)

    def settle(self) -> None:
        """Decide about each step that needs attention."""
        for execution, path in self.fleet.look(_ASIDE) or ():
            action = self.random.choice(_SETTLEMENTS)
            body = {"path": path, "action": action, "reason": "chaos"}
            if action == "complete":
                body["output"] = 1
            self._ask("settle", execution, body, expected=(200, 409))

    def resume_all(self) -> None:
        rows = self.fleet.look(_PAUSED) or ()
        self._resume([execution for (execution,) in rows])

    def _resume(self, executions: Iterable[str]) -> None:
        for execution in executions:
            if self._ask("resume", execution, {}, expected=(200, 409)):
                self._paused.pop(execution, None)

    def _ask(self, verb: str, execution: str, body: Any, **options: Any) -> Any:
        return self.client.post(
            verb, f"executions/{execution}/{verb}/", body, **options
        )
