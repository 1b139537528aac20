"""The engine played by hand: executions, workers that are rows, queues laid open."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
import redis
from celery import current_app
from celery.app.trace import build_tracer
from django.db import OperationalError, connection
from django.db.models.functions import Now

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions import lifecycle, pinned
from executions.identity import step_run_id
from executions.launch import launch
from executions.lifecycle import Claim, NewRun, Outcome
from executions.models import Event, Execution, StepRun
from executions.models import Worker as WorkerRow
from executions.plan import Plan
from executions.signatures import Address
from executions.states import StepStatus
from roles.models import Role

T = TypeVar("T")
QUEUES = ("cpu.recovery", "io.recovery", "control", "cpu", "io")
PATIENCE_S = 10.0
_numbers = itertools.count(1)

DONE = Outcome(status=StepStatus.COMPLETED, output={"n": 1})
FAILED = Outcome(
    status=StepStatus.FAILED,
    error={"type": "exception", "message": "No.", "attempt": 1},
)


# --- what is to be done -------------------------------------------------------------


def role(function: str = "util.identity", **fields: Any) -> str:
    """Make a role for a registered function, and return its name."""
    name = f"{function} {next(_numbers)}"
    config = {"function": function, **fields.pop("config", {})}
    Role.objects.create(name=name, kind="function", config=config, **fields)
    return name


def step(key: str, role_name: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "role_name": role_name, **fields}


def group(*keys: str, of: str, name: str = "g", **fields: Any) -> list[dict[str, Any]]:
    return [step(key, of, parallel_group=name, **fields) for key in keys]


def orchestration(*steps: dict[str, Any], **fields: Any) -> Orchestration:
    name = f"Orchestration {next(_numbers)}"
    return drafts.save({"name": name, "steps": list(steps), **fields})


def launched(*steps: dict[str, Any], given: Any = None, **fields: Any) -> Execution:
    """Start an execution of these steps; nobody works on it but the test."""
    return launch(orchestration(*steps, **fields), given or {})


def chain(*keys: str, **fields: Any) -> Execution:
    """Start a chain of steps that return their input."""
    same = role()
    return launched(*(step(key, same) for key in keys), **fields)


# --- workers and claims -------------------------------------------------------------


def worker(*, lease_s: float = 60.0, **fields: Any) -> UUID:
    """Make a worker that holds its lease, or lost it when `lease_s` is negative."""
    lease_until = Now() + timedelta(seconds=lease_s)
    fields = {"host": "test", "pid": 1, **fields}
    return WorkerRow.objects.create(lease_until=lease_until, **fields).pk


def end_lease(worker_id: UUID) -> None:
    """Let a worker's lease have ended a second ago."""
    past = Now() - timedelta(seconds=1)
    WorkerRow.objects.filter(pk=worker_id).update(lease_until=past)


def new_run(
    execution: Execution, path: str, *, by: UUID | None = None, **fields: Any
) -> NewRun:
    planned = pinned.plan(str(execution.version_id)).by_path[path]
    given: dict[str, Any] = {
        "id": step_run_id(execution.pk, path),
        "execution_id": execution.pk,
        "epoch": execution.epoch,
        "ordinal": planned.ordinal,
        "path": path,
        "key": planned.step.key,
        "role_name": planned.step.role_name,
        "worker": by or uuid4(),
        "input": {},
        "timeout_ms": planned.step.timeout_ms,
        **fields,
    }
    return NewRun(**given)


def try_claim(
    execution: Execution, path: str, *, by: UUID | None = None, **fields: Any
) -> Claim | None:
    """Claim as a worker does that has seen the execution as it is now."""
    status = Execution.objects.values_list("status", flat=True).get(pk=execution.pk)
    run = new_run(execution, path, by=by, **fields)
    return lifecycle.claim(run, execution_started=status == "running")


def claimed(
    execution: Execution, path: str, *, by: UUID | None = None, **fields: Any
) -> Claim:
    claim = try_claim(execution, path, by=by, **fields)
    assert claim is not None
    return claim


def finish(execution: Execution, *paths: str) -> None:
    """Do steps as a worker would."""
    for path in paths:
        assert lifecycle.settle(claimed(execution, path), DONE)


# --- the record ---------------------------------------------------------------------


def run_at(execution: Execution, path: str) -> StepRun:
    return StepRun.objects.get(execution=execution, path=path)


def now_of(execution: Execution) -> Execution:
    return Execution.objects.get(pk=execution.pk)


def told(execution: Execution) -> list[str]:
    """List the events of an execution, each with the step that it is about."""
    events = Event.objects.filter(execution=execution).order_by("id")
    return [str(event) for event in events]


def age(execution: Execution, seconds: float, **fields: Any) -> None:
    """Let an execution have been dispatched, and its steps touched, that long ago."""
    moved = timedelta(seconds=seconds)
    now = now_of(execution)
    Execution.objects.filter(pk=execution.pk).update(
        dispatched_at=now.dispatched_at - moved, **fields
    )
    for run in StepRun.objects.filter(execution=execution):
        changes = {
            name: getattr(run, name) - moved
            for name in ("started_at", "finished_at", "retry_at")
            if getattr(run, name)
        }
        StepRun.objects.filter(pk=run.pk).update(**changes)


def address_of(execution: Execution) -> Address:
    now = now_of(execution)
    return Address(execution=str(now.pk), version=str(now.version_id), epoch=now.epoch)


def plan_of(execution: Execution) -> Plan:
    return pinned.plan(str(execution.version_id))


# --- queues -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it lies in a queue."""

    queue: str
    task: str
    kwargs: dict[str, Any]
    chain: list[dict[str, Any]]
    chord: dict[str, Any] | None
    headers: dict[str, Any]

    @property
    def place(self) -> str | int:
        """Where it leads: the path of a step, or of several, or a block's index."""
        return place_of(self.kwargs)


def place_of(kwargs: dict[str, Any]) -> str | int:
    if "paths" in kwargs:
        return ", ".join(kwargs["paths"])
    return str(kwargs["path"]) if "path" in kwargs else int(kwargs["block"])


def messages(broker: redis.Redis, *queues: str) -> list[Message]:
    """Read what lies in the queues, oldest first, and leave it there."""
    return [
        _message(queue, raw)
        for queue in queues or QUEUES
        for raw in reversed(broker.lrange(queue, 0, -1))
    ]


def _message(queue: str, raw: bytes | str) -> Message:
    envelope = json.loads(raw)
    _, kwargs, embedded = json.loads(base64.b64decode(envelope["body"]))
    return Message(
        queue=queue,
        task=envelope["headers"]["task"],
        kwargs=kwargs,
        chain=embedded["chain"] or [],
        chord=embedded["chord"],
        headers=envelope["headers"],
    )


def take(broker: redis.Redis) -> Message | None:
    """Take the next message, as a worker of all queues would."""
    for queue in QUEUES:
        raw = broker.rpop(queue)
        if isinstance(raw, bytes):
            return _message(queue, raw)
    return None


def deliver(message: Message, **changes: Any) -> str:
    """
    Do with a message what a worker does, here and now, and say how that ended.

    This is Celery's own tracer: it also sends the chain's next link, returns the
    part of a chord, and publishes retries.
    """
    task = current_app.tasks[message.task]
    kwargs = {**message.kwargs, **changes}
    request = {
        **message.headers,
        "args": [],
        "kwargs": kwargs,
        "callbacks": None,
        "errbacks": None,
        "chain": list(message.chain),
        "chord": message.chord,
        "delivery_info": {"exchange": "", "routing_key": message.queue},
        "called_directly": False,
        "is_eager": False,
    }
    trace = build_tracer(task.name, task, app=current_app)
    _, info, _, _ = trace(message.headers["id"], [], kwargs, request)
    return str(info.state) if info else "SUCCESS"


def deliver_all(broker: redis.Redis, *, times: int = 1) -> list[tuple[str, str | int]]:
    """Deliver what there is until nothing is left; say what came in which order."""
    delivered: list[tuple[str, str | int]] = []
    while message := take(broker):
        delivered.append((message.queue, message.place))
        assert len(delivered) < 500, "the canvas goes round in circles"
        for _ in range(times):
            assert deliver(message) in ("SUCCESS", "RETRY")
    return delivered


# --- many at once, and databases that go away ----------------------------------------


def at_once(*actions: Callable[[], T]) -> list[T | Exception]:
    """Run actions in threads that start together, and return what each came to."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], T]) -> T | Exception:
        try:
            connection.ensure_connection()
            barrier.wait(PATIENCE_S)
            return action()
        except Exception as error:  # noqa: BLE001  (what it came to)
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions)) as pool:
        return [done.result() for done in [pool.submit(run, a) for a in actions]]


@contextmanager
def postgres_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Break this thread's connection, and let no new one be made."""
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", "/nowhere")
        yield
    connection.close()


def lose_reply(
    monkeypatch: pytest.MonkeyPatch, module: Any, containing: str, *, times: int = 1
) -> list[str]:
    """
    Let the connection break after a statement has committed, before its reply.

    It is the first statement of `module` with these words; returns a list that
    gets a line for each reply that was lost.
    """
    fetch = module.fetch
    lost: list[str] = []

    def losing(sql: str, params: Any) -> Any:
        rows = fetch(sql, params)
        if containing in sql and len(lost) < times:
            lost.append(sql)
            raise OperationalError("the connection broke after the commit")
        return rows

    monkeypatch.setattr(module, "fetch", losing)
    return lost


def until(met: Callable[[], Any], what: str) -> Any:
    """Wait until something is true, and return it."""
    pause, deadline = threading.Event(), monotonic() + PATIENCE_S
    while not (value := met()):
        assert monotonic() < deadline, f"{what} did not happen"
        pause.wait(0.01)
    return value


def waiting_for_locks(number: int) -> None:
    """Wait until so many other connections wait for a lock."""

    def waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone() == (number,))

    until(waiting, f"{number} waiting connections")
