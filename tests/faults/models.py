"""Models of which a test decides when they answer, and what became of their cost."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

from tests.acceptance.agents import agent
from tests.acceptance.provider import Asked, Turn, refuses, says
from tests.acceptance.system import until
from tests.faults.fleet import Fleet, watch

# What a call costs at the prices of `tests.acceptance.agents`.
TOKENS = (50, 100)
COST = Decimal("0.00105")


class Held:
    """Answers that come only once they are let go: `turn` is what a script holds."""

    def __init__(self, answer: str = "done", *, first: int = 1_000) -> None:
        self.count = 0
        self._answer, self._first = answer, first
        self._lock, self._go = threading.Lock(), threading.Event()

    def turn(self, asked: Asked) -> Turn:
        with self._lock:
            self.count += 1
            mine = self.count
        if mine <= self._first:
            self._go.wait(120)
            return says(f"{self._answer} {mine}", tokens=TOKENS)
        return says(f"{self._answer} {mine}", tokens=TOKENS)

    def let_go(self) -> None:
        self._go.set()

    def await_count(self, count: int) -> None:
        until(lambda: self.count >= count, what=f"{count} requests at the provider")


class Overloaded:
    """Refuses everybody for a while from the first request on, then takes its time."""

    def __init__(self, *, seconds: float, pause: str) -> None:
        self.refused: list[float] = []
        self.answered: list[float] = []
        self._seconds, self._pause = seconds, pause
        self._lock = threading.Lock()

    def turn(self, asked: Asked) -> Turn:
        with self._lock:
            now = time.monotonic()
            if not self.refused or now < self.refused[0] + self._seconds:
                self.refused.append(now)
                return refuses(429, Retry_After=self._pause)
            self.answered.append(now)
        return says("done", tokens=TOKENS, delay_s=0.8)


def worker(fleet: Fleet, asked: str, **fields: Any) -> str:
    """Make an agent with the tool whose effects the sink sees."""
    return agent(fleet, asked, tools=["function:fault.tool"], **fields)


def begin_many(fleet: Fleet, role: str, count: int) -> list[str]:
    step = {"name": "Ask", "role_name": role, "input_mapping": "Hello"}
    made = fleet.orchestration(step)
    return [fleet.execute(made) for _ in range(count)]


def limited(fleet: Fleet, role: str, **limits: Any) -> str:
    """Give a role a budget, and return its id."""
    (found,) = fleet.client.get("roles/", params={"name": role}).json()["results"]
    body = {"scope": "role", "scope_id": found["id"], **limits}
    made = str(fleet.post("budgets/", body, status=201)["id"])
    watch(1.5)  # what a worker knows of budgets is a second old at most
    return made


def paid(fleet: Fleet, *executions: str) -> list[tuple[str, str, Decimal]]:
    """Read the ledger: execution, provider and cost of each call, the first one first."""
    return fleet.query(
        "SELECT execution_id::text, provider, cost FROM executions_spending "
        "WHERE execution_id = ANY(%s::uuid[]) ORDER BY id",
        list(executions),
    )


def spent(fleet: Fleet, budget: str) -> Decimal:
    ((money,),) = fleet.query(
        "SELECT coalesce(sum(money), 0) FROM executions_budgetaccount "
        "WHERE budget_id = %s",
        budget,
    )
    return Decimal(money)


def reserved(fleet: Fleet, budget: str) -> int:
    ((count,),) = fleet.query(
        "SELECT count(*) FROM executions_reservation r "
        "JOIN executions_budgetaccount a ON a.id = r.account_id "
        "WHERE a.budget_id = %s",
        budget,
    )
    return int(count)


def statuses(fleet: Fleet, executions: list[str]) -> list[str]:
    rows = fleet.query(
        "SELECT status FROM executions_execution WHERE id = ANY(%s::uuid[])", executions
    )
    return [status for (status,) in rows]


def burnt(fleet: Fleet) -> list[tuple[Any, ...]]:
    """What counted as an attempt's failure, unlike a wait or a worker that was lost."""
    return fleet.query(
        "SELECT v.type, v.path, v.data FROM executions_event v "
        "JOIN executions_execution e ON e.id = v.execution_id "
        "WHERE e.created_at >= %s AND (v.type = 'step.failed' "
        "OR v.type = 'step.retrying' AND v.data->>'type' <> 'worker_lost')",
        fleet.since,
    )
