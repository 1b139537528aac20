"""Executions that walk together, played by hand: their script, and how it is checked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from django.db import connection

from executions import resumption
from executions.launch import launch_many
from executions.models import Execution
from executions.signatures import RUN_STEP, Address
from executions.worker import patience
from executions.worker.convoy import Convoy, walk_together
from executions.worker.departure import set_out
from tests.integration.engine import (
    deliver_all,
    messages,
    now_of,
    orchestration,
    step,
    told,
)

NOT_1 = {"field": "context.input.n", "operator": "!=", "value": "1"}
ENDS = ("completed", "failed", "timed_out", "cancelled", "skipped")


class Script:
    """What steps do: each call is noted, and once does what is planned for it."""

    role: str

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.acts: dict[str, Callable[[], Any]] = {}

    def play(self, given: str) -> Any:
        self.calls.append(given)
        act = self.acts.pop(given, None)
        return act() if act else given

    def step(self, key: str, **fields: Any) -> dict[str, Any]:
        """Make a step that is called with its key and the execution's number."""
        given = f"{key}{{{{ context.input.n }}}}"
        return step(key, self.role, **{"input_mapping": given, **fields})

    def steps(self, **special: dict[str, Any]) -> list[dict[str, Any]]:
        """Make a chain of the steps a, b and c, some of them special."""
        return [self.step(key, **special.get(key, {})) for key in "abc"]


def launched_many(
    *steps: dict[str, Any], size: int = 4, more: Any = None, **fields: Any
) -> list[Execution]:
    """Start executions that are numbered in their inputs, with `more` in some."""
    inputs = [{"n": str(n), **(more or {}).get(n, {})} for n in range(size)]
    return launch_many(orchestration(*steps, **fields), inputs)


def go(executions: Sequence[Execution], path: str = "a", *, epoch: int = 1) -> None:
    """Walk with executions as the worker does that gets them in one message."""
    version = str(executions[0].version_id)
    addresses = [
        Address(execution=str(each.pk), version=version, epoch=epoch)
        for each in executions
    ]
    walk_together(addresses, path)


def gathered(executions: Sequence[Execution]) -> Convoy:
    """Make a convoy whose every execution has claimed its first step."""
    return Convoy(set_out([resumption.address_of(e.pk) for e in executions], "a"))


def ends(executions: Sequence[Execution]) -> list[str]:
    return [now_of(execution).status for execution in executions]


def sent(broker: redis.Redis) -> list[tuple[int, str]]:
    """List the steps that single messages lead to, each with its execution's number."""
    numbers = {str(e.pk): int(e.input["n"]) for e in Execution.objects.all()}
    singles = [m for m in messages(broker) if m.task == RUN_STEP]
    return sorted((numbers[m.kwargs["execution"]], m.kwargs["path"]) for m in singles)


def events_of(execution: Execution, path: str) -> list[str]:
    """List what was told of one step."""
    told_of = [event.split() for event in told(execution)]
    return [event for event, *about in told_of if about == [path]]


def check(executions: Sequence[Execution]) -> None:
    """Each ended at most once, each attempt began once, and all in their order."""
    for execution in executions:
        events = told(execution)
        assert events.count("execution.created") == 1, events
        assert events.count("execution.started") <= 1, events
        over = [e for e in events if e in {f"execution.{end}" for end in ENDS}]
        assert over in ([], [events[-1]]), events
        for run in execution.step_runs.all():
            own = events_of(execution, run.path)
            _check_step(own, run.status, run.attempt)
            if run.started_at and run.finished_at:
                assert run.started_at <= run.finished_at


def _check_step(own: list[str], status: str, attempt: int) -> None:
    assert own.count("step.started") <= attempt, own
    over = [event for event in own if event in {f"step.{end}" for end in ENDS}]
    assert over == ([f"step.{status}"] if status in ENDS else []), own
    if status in ("completed", "failed", "timed_out"):
        # A worker may be lost with a claim whose turn had not come.
        assert own[-2:] == ["step.started", f"step.{status}"], own


def check_all_completed(
    executions: Sequence[Execution], script: Script, broker: redis.Redis
) -> None:
    """Let others finish what was left to them; nothing was done twice or resent."""
    deliver_all(broker)
    assert ends(executions) == ["completed"] * len(executions)
    check(executions)
    assert sorted(script.calls) == sorted(set(script.calls))
    attempts = {r.attempt for e in executions for r in e.step_runs.all() if r.attempt}
    assert attempts == {1}
    assert {now_of(execution).resends for execution in executions} == {0}


@contextmanager
def refusing(when: str) -> Iterator[None]:
    """Have the database refuse what is written to step runs when this holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'not this one' USING ERRCODE = '22P05'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON executions_steprun "
            f"FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse() CASCADE")


def end_of(execution: Execution, path: str) -> str:
    """Say when `refusing` refuses the success of one execution's step."""
    return (
        f"NEW.execution_id = '{execution.pk}' AND NEW.path = '{path}' "
        "AND NEW.status = 'completed'"
    )


class Parting:
    """Somebody who has the relief thread give its database connection back."""

    is_late = True

    def __init__(self) -> None:
        self.done = threading.Event()

    def hand_over(self) -> None:
        connection.close()
        self.done.set()


class BackAfter(logging.Handler):
    """Bring PostgreSQL back once the engine has waited for it so many times."""

    def __init__(self, complaints: int, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.left = complaints
        self.patch = patch

    def emit(self, record: logging.LogRecord) -> None:
        self.left -= 1
        if self.left == 0:
            self.patch.undo()


@contextmanager
def outages(complaints: int = 3) -> Iterator[Callable[[], None]]:
    """Give a switch that takes PostgreSQL away until somebody waited for it."""
    patch = pytest.MonkeyPatch()
    handler = BackAfter(complaints, patch)
    patience.log.addHandler(handler)

    def begin() -> None:
        connection.close()
        patch.setitem(connection.settings_dict, "HOST", "/nowhere")

    try:
        yield begin
        assert handler.left <= 0
    finally:
        patience.log.removeHandler(handler)
        patch.undo()
