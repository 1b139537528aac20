"""Clients that have orchestrations executed, as fast as the backlog stays small."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.client import Client
from tests.chaos.fleet import ChaosFleet
from tests.chaos.workloads import FUNCTIONS, HTTP, Workload, catalog, requests

_MOST_UNDER_WAY = 25
_PAUSE_S, _FULL_S, _AGAIN_S = 0.1, 0.2, 0.5
_ANSWER_S = 60.0

_UNDER_WAY = """
SELECT count(*) FROM executions_execution WHERE status IN ('pending', 'running')
"""


def make_roles(fleet: ChaosFleet) -> dict[str, str]:
    """Make a role for everything that steps do; return their names."""
    roles = {does: fleet.role(function) for does, function in FUNCTIONS.items()}
    config = {
        "method": "POST",
        "url": f"http://{fleet.sink.address}/http",
        "body": {"n": "{{ input.n }}"},
    }
    body = {"name": "Call the sink", "kind": "http", "config": config}
    fleet.post("roles/", body, status=201)
    return roles | {HTTP: "Call the sink"}


@dataclass(slots=True)
class Load:
    """What may be executed, and who asks for it; `over` ends them."""

    fleet: ChaosFleet
    client: Client
    seed: int
    over: threading.Event
    roles: dict[str, str] = field(default_factory=dict)
    _made: list[tuple[Workload, str]] = field(default_factory=list)
    _next: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _requests: Iterator[tuple[int, dict[str, Any]]] = field(
        default_factory=lambda: iter(())
    )

    def prepare(self) -> None:
        """Make the roles and the orchestrations, before anything goes wrong."""
        self.roles = make_roles(self.fleet)
        for workload in catalog(self.seed):
            made = self.fleet.orchestration(*workload.with_roles(self.roles))
            self._made.append((workload, made["id"]))
        self._requests = requests(self.seed, len(self._made))

    def run(self) -> None:
        while not self.over.is_set():
            if self._is_full():
                self.over.wait(_FULL_S)
                continue
            self._execute()
            self.over.wait(_PAUSE_S)

    def _is_full(self) -> bool:
        rows = self.fleet.look(_UNDER_WAY)
        return rows is not None and rows[0][0] >= _MOST_UNDER_WAY

    def _execute(self) -> None:
        with self._next:
            number, (which, given) = next(self._numbers), next(self._requests)
        workload, orchestration = self._made[which]
        path = f"orchestrations/{orchestration}/execute/"
        key = f"chaos-{self.seed}-{number}"
        for _ in range(int(_ANSWER_S / _AGAIN_S)):
            answer = self.client.post(
                "execute", path, {"input": given}, expected=(202,), key=key
            )
            self.client.accept(answer, workload.shape)
            if answer is not None or self.over.wait(_AGAIN_S):
                return
