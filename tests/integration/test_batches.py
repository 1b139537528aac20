"""Batches: many short members of a group for one message, and what may go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection, transaction

from executions import (
    control,
    database,
    failpoints,
    lifecycle,
    queueing,
    recovery,
    situation,
)
from executions.lifecycle import Finished, batches, settlements
from executions.models import Event, Execution
from executions.signatures import RUN_STEP, RUN_STEPS, Address
from executions.worker import batch, patience, relief
from executions.worker.batch import work_off
from executions.worker.beginning import ComeBack
from executions.worker.leases import Worker
from executions.worker.relief import this_relief
from executions.worker.walk import Walk
from tests.integration.convoys import Parting, outages
from tests.integration.engine import (
    DONE,
    PATIENCE_S,
    Message,
    address_of,
    age,
    at_once,
    claimed,
    deliver,
    end_lease,
    finish,
    group,
    launched,
    lose_reply,
    messages,
    new_run,
    now_of,
    plan_of,
    postgres_away,
    role,
    run_at,
    step,
    take,
    told,
    try_claim,
    until,
    waiting_for_locks,
    worker,
)
from tests.integration.statements import statements

pytest_plugins = ("tests.integration.stage", "tests.integration.company")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker", "broker", "patient", "relief_at_rest"),
]

Register = Callable[[Callable[..., Any]], str]
NEVER = {"field": "context.input.absent", "operator": "exists"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, patient: None) -> None:
    """Let nobody stand behind anybody."""
    monkeypatch.setattr(relief, "PATIENCE_S", -1.0)


# --- the engine's parts, played by hand ---------------------------------------------


def keys(size: int) -> list[str]:
    return [f"m{n}" for n in range(size)]


def crowd(
    of: str, *, size: int = 4, special: Sequence[dict[str, Any]] = (), **fields: Any
) -> Execution:
    """Start a group of members, some of them special, and a step after it."""
    changed = {one["key"]: one for one in special}
    members = group(*keys(size), of=of, **fields)
    steps = [{**member, **changed.get(member["key"], {})} for member in members]
    return launched(*steps, step("after", role()), given={"n": 1})


def do(execution: Execution, *paths: str, size: int = 4) -> None:
    """Do members as the worker does that gets them in one message."""
    work_off(address_of(execution), paths or keys(size))


def walk(execution: Execution, path: str) -> None:
    Walk.of(address_of(execution), path=path, pool="cpu").go()


def statuses(execution: Execution) -> dict[str, str]:
    return dict(execution.step_runs.values_list("path", "status"))


def outputs(execution: Execution) -> dict[str, Any]:
    return dict(execution.step_runs.values_list("path", "output"))


def attempts(execution: Execution) -> dict[str, int]:
    return dict(execution.step_runs.values_list("path", "attempt"))


def sent(broker: redis.Redis) -> list[Any]:
    """List the steps that single messages lead to."""
    return [m.kwargs["path"] for m in messages(broker) if m.task == RUN_STEP]


def deliver_all(broker: redis.Redis, *, times: int = 1) -> list[Message]:
    """Deliver what there is until nothing is left, each message so many times."""
    delivered = []
    while message := take(broker):
        delivered.append(message)
        assert len(delivered) < 300, "the canvas goes round in circles"
        for _ in range(times):
            assert deliver(message) in ("SUCCESS", "RETRY")
    return delivered


def check_events(execution: Execution) -> None:
    """Each member that began did so once per attempt, and ended once, after that."""
    events = told(execution)
    for run in execution.step_runs.all():
        own = [e.split()[0] for e in events if e.split()[1:] == [run.path]]
        if run.finished_at:
            ends = {"step.completed", "step.failed", "step.timed_out", "step.cancelled"}
            assert len([e for e in own if e in ends | {"step.skipped"}]) == 1, own
            assert own[-1] == f"step.{run.status}", own
        assert own.count("step.started") <= run.attempt, own
    assert events.count("execution.started") <= 1


def nothing_of(execution: Execution) -> bool:
    """Tell whether no member was begun, and nobody said so."""
    begun = [e for e in told(execution) if e.startswith("step.")]
    return statuses(execution) == {} and begun == []


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


# --- done together ------------------------------------------------------------------


def test_a_group_of_many_travels_in_batches_is_done_and_joined(
    broker: redis.Redis,
) -> None:
    execution = crowd(role(), size=32)
    first = messages(broker)
    assert {m.task for m in first} == {RUN_STEPS}
    assert [p for m in first for p in m.kwargs["paths"]] == keys(32)

    delivered = deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert RUN_STEP not in {m.task for m in delivered}
    assert set(statuses(execution).values()) == {"completed"}
    assert set(attempts(execution).values()) == {1}
    check_events(execution)


@pytest.mark.parametrize("size", [2, 25])
def test_a_batch_takes_three_statements_however_large(size: int) -> None:
    do(crowd(role(), size=2), size=2)  # the lease is taken
    execution = crowd(role(), size=size)
    address = address_of(execution)

    with statements() as asked:
        work_off(address, keys(size))

    assert len(asked) == 3, asked
    assert set(statuses(execution).values()) == {"completed"}


def test_the_members_of_a_batch_are_told_of_as_they_were_done() -> None:
    execution = crowd(role(), size=25)

    do(execution, size=25)

    one_by_one = [[f"step.started {key}", f"step.completed {key}"] for key in keys(25)]
    assert told(execution) == [
        "execution.created",
        "execution.started",
        *(event for both in one_by_one for event in both),
    ]
    events = Event.objects.filter(execution=execution, path__isnull=False)
    moments = list(events.order_by("id").values_list("created_at", flat=True))
    assert moments == sorted(moments)


def test_each_member_has_times_and_an_attempt_of_its_own() -> None:
    execution = crowd(role(), size=10)

    do(execution, size=10)

    runs = [run_at(execution, key) for key in keys(10)]
    assert {run.attempt for run in runs} == {1}
    began = now_of(execution).started_at
    assert began
    for run in runs:
        assert run.started_at
        assert run.finished_at
        assert began <= run.started_at <= run.finished_at
        assert run.attempt_deadline is None
    moments = [at for run in runs for at in (run.started_at, run.finished_at) if at]
    assert moments == sorted(moments)
    events = Event.objects.filter(execution=execution, type="step.started")
    assert [event.data for event in events] == [{"attempt": 1}] * 10


def test_each_member_has_its_own_input_output_and_exports() -> None:
    mapping = [
        {
            "key": key,
            "input_mapping": {"own": n, "given": "{{ context.input.n }}"},
            "output_mapping": {f"x{n}": "{{ output.own }}", f"y{n}": n},
        }
        for n, key in enumerate(keys(4))
    ]
    execution = crowd(role(), special=mapping)

    do(execution)

    assert outputs(execution) == {
        key: {"own": n, "given": 1} for n, key in enumerate(keys(4))
    }
    exports = dict(execution.step_runs.values_list("path", "exports"))
    assert exports == {f"m{n}": {f"x{n}": n, f"y{n}": n} for n in range(4)}
    inputs = dict(execution.step_runs.values_list("path", "input"))
    assert inputs == outputs(execution)


def test_members_without_a_template_get_what_came_before_the_group(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(
        step("a", same, input_mapping={"x": 1}),
        *group(*keys(16), of=same),
        output="{{ output }}",
    )

    deliver_all(broker)

    assert now_of(execution).output == {key: {"x": 1} for key in keys(16)}


@pytest.mark.parametrize("times", [2, 3])
def test_everything_ends_well_however_often_each_message_is_delivered(
    broker: redis.Redis, times: int
) -> None:
    given = {"times": 1, "retryable": True}
    once = {"max_retries": 1, "retry_delay_ms": 0, "input_mapping": given}
    failing = {"role_name": role("util.fail")}
    execution = crowd(
        role(),
        size=20,
        special=[
            {"key": "m3", **failing, "on_error": "continue"},
            {"key": "m8", **failing, **once},
            {"key": "m11", "condition": NEVER},
        ],
    )

    deliver_all(broker, times=times)

    assert now_of(execution).status == "completed"
    odd = {p: s for p, s in statuses(execution).items() if s != "completed"}
    assert odd == {"m3": "failed", "m11": "skipped"}
    assert run_at(execution, "m8").attempt == 2
    check_events(execution)


def test_each_member_reads_what_its_own_templates_name() -> None:
    bad = {"on_error": "continue", "output_mapping": {"x": "{{ output.absent }}"}}
    same = role()
    execution = launched(
        step("a", same, output_mapping={"shared": "{{ output.n }}"}),
        step("b", same, **bad),
        step("c", same, input_mapping={"c": 3}),
        step("m0", same, parallel_group="g", input_mapping="{{ context.a.n }}"),
        step("m1", same, parallel_group="g"),
        step("m2", same, parallel_group="g", input_mapping="{{ context.shared }}"),
        step(
            "m3",
            same,
            parallel_group="g",
            input_mapping="{{ context.errors.b.type }}",
            condition={"field": "context.c.c", "operator": "==", "value": 3},
        ),
        given={"n": 1},
    )
    for path in ("a", "b", "c"):
        walk(execution, path)
    lifecycle.advance(execution.pk, epoch=1, block=3)

    do(execution)

    found = outputs(execution)
    assert [found[key] for key in keys(4)] == [1, {"c": 3}, 1, "template_error"]


def test_a_group_behind_a_group_gets_the_outputs_of_its_members() -> None:
    same = role()
    execution = launched(
        *group("a", "b", of=same, name="h"), *group(*keys(4), of=same), given={"n": 1}
    )
    do(execution, "a", "b")
    do(execution)
    assert set(statuses(execution)) == {"a", "b"}
    lifecycle.advance(execution.pk, epoch=1, block=1)

    do(execution)

    both = {"a": {"n": 1}, "b": {"n": 1}}
    assert [outputs(execution)[key] for key in keys(4)] == [both] * 4


# --- members that do not run --------------------------------------------------------


def test_a_member_whose_condition_is_false_is_skipped_and_the_others_run() -> None:
    execution = crowd(role(), special=[{"key": "m1", "condition": NEVER}])

    do(execution)

    assert statuses(execution) == {
        "m0": "completed",
        "m1": "skipped",
        "m2": "completed",
        "m3": "completed",
    }
    assert run_at(execution, "m1").attempt == 0
    check_events(execution)


def test_a_batch_whose_every_member_is_skipped_starts_the_execution_once(
    broker: redis.Redis,
) -> None:
    execution = crowd(role(), size=16, condition=NEVER)

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert told(execution).count("execution.started") == 1
    assert {s for p, s in statuses(execution).items() if p != "after"} == {"skipped"}


def test_a_member_whose_input_does_not_resolve_is_refused_and_the_others_run() -> None:
    bad = {"input_mapping": "{{ context.input.absent }}", "on_error": "continue"}
    execution = crowd(role(), special=[{"key": "m2", **bad}])

    do(execution)

    assert statuses(execution)["m2"] == "failed"
    error = run_at(execution, "m2").error
    assert error
    assert error["type"] == "template_error"
    assert "In input_mapping of step 'm2'" in error["message"]
    assert list(statuses(execution).values()).count("completed") == 3
    check_events(execution)


def test_a_refusal_that_ends_the_execution_lets_no_member_begin(
    register: Register,
) -> None:
    called: list[Any] = []

    def note(given: Any) -> None:
        called.append(given)

    bad = {"key": "m1", "input_mapping": "{{ context.input.absent }}"}
    execution = crowd(register(note), special=[bad])

    do(execution)

    assert now_of(execution).status == "failed"
    assert called == []
    assert statuses(execution) == {"m1": "failed"}
    assert told(execution)[-1] == "execution.failed"


def test_a_members_output_mapping_that_does_not_resolve_fails_it_alone() -> None:
    bad = {"output_mapping": {"x": "{{ output.absent }}"}, "on_error": "continue"}
    execution = crowd(role(), special=[{"key": "m1", **bad}])

    do(execution)

    assert statuses(execution)["m1"] == "failed"
    assert list(statuses(execution).values()).count("completed") == 3


# --- members that fail --------------------------------------------------------------


def test_a_failure_that_the_execution_survives_is_recorded_with_the_others() -> None:
    bad = {"key": "m1", "role_name": role("util.fail"), "on_error": "continue"}
    execution = crowd(role(), special=[bad])

    with statements() as asked:
        do(execution)

    assert len([sql for sql in asked if "UPDATE executions_steprun" in sql]) == 1
    run = run_at(execution, "m1")
    assert (run.status, run.attempt) == ("failed", 1)
    assert run.error
    assert run.error["type"] == "failed_on_purpose"
    assert told(execution).count("step.failed m1") == 1
    assert list(statuses(execution).values()).count("completed") == 3


@pytest.fixture
def fatal(register: Register) -> tuple[Execution, list[str]]:
    """A group of four whose second member ends the execution; who was called."""
    called: list[str] = []

    def note(given: str) -> str:
        called.append(given)
        if given == "m1":
            raise LookupError("no such order")
        return given

    each = [{"key": key, "input_mapping": key} for key in keys(4)]
    return crowd(register(note), special=each), called


def test_what_was_done_before_a_failure_ended_the_execution_is_kept(
    fatal: tuple[Execution, list[str]],
) -> None:
    execution, _ = fatal

    do(execution)

    assert now_of(execution).status == "failed"
    assert statuses(execution)["m0"] == "completed"
    assert outputs(execution)["m0"] == "m0"
    assert told(execution)[:6] == [
        "execution.created",
        "execution.started",
        "step.started m0",
        "step.completed m0",
        "step.started m1",
        "step.failed m1",
    ]


def test_nobody_behind_a_failure_that_ended_the_execution_begins(
    fatal: tuple[Execution, list[str]], broker: redis.Redis
) -> None:
    execution, called = fatal
    broker.delete("cpu")

    do(execution)

    assert called == ["m0", "m1"]
    assert (statuses(execution)["m2"], statuses(execution)["m3"]) == ("cancelled",) * 2
    assert "step.started m2" not in told(execution)
    assert told(execution)[-1] == "execution.failed"
    assert sent(broker) == []
    check_events(execution)


def test_a_retried_execution_repeats_nothing_that_a_batch_had_done(
    fatal: tuple[Execution, list[str]], broker: redis.Redis
) -> None:
    execution, called = fatal
    do(execution)
    broker.delete("cpu")

    control.retry(execution.pk, by=None)
    deliver_all(broker)

    assert called.count("m0") == 1


def retrying(delay_ms: int) -> Execution:
    """Start a group of four whose second member fails once."""
    again = {
        "key": "m1",
        "role_name": role("util.fail"),
        "input_mapping": {"times": 1, "retryable": True},
        "max_retries": 1,
        "retry_delay_ms": delay_ms,
    }
    return crowd(role(), special=[again])


def test_a_member_that_is_tried_again_travels_singly_after_its_delay(
    broker: redis.Redis,
) -> None:
    execution = retrying(30_000)
    broker.delete("cpu")

    do(execution)

    (message,) = messages(broker)
    assert (message.task, message.kwargs["path"]) == (RUN_STEP, "m1")
    assert message.headers["eta"] is not None
    assert message.chord is not None
    run = run_at(execution, "m1")
    assert (run.status, run.attempt, run.fence) == ("retrying", 1, 1)
    assert list(statuses(execution).values()).count("completed") == 3


def test_a_member_that_is_tried_again_joins_the_group_in_the_end(
    broker: redis.Redis,
) -> None:
    execution = retrying(0)
    broker.delete("cpu")
    do(execution)

    deliver_all(broker)

    run = run_at(execution, "m1")
    assert (run.status, run.attempt, run.fence) == ("completed", 2, 2)
    assert now_of(execution).status == "completed"
    own = [e for e in told(execution) if e.endswith(" m1")]
    assert own == [
        "step.started m1",
        "step.retrying m1",
        "step.started m1",
        "step.completed m1",
    ]


def test_a_retry_far_away_is_the_reconcilers_to_wake(broker: redis.Redis) -> None:
    execution = retrying(90_000)
    broker.delete("cpu")

    do(execution)

    assert messages(broker) == []
    assert now_of(execution).wake_at == run_at(execution, "m1").retry_at
    assert list(statuses(execution).values()).count("completed") == 3


def test_a_member_that_takes_too_long_times_out_and_the_others_are_done(
    register: Register,
) -> None:
    def hang(given: Any) -> None:
        threading.Event().wait()

    slow = {"key": "m1", "role_name": register(hang), "timeout_ms": 100}
    execution = crowd(role(), special=[{**slow, "on_error": "continue"}])

    do(execution)

    assert statuses(execution)["m1"] == "timed_out"
    assert list(statuses(execution).values()).count("completed") == 3
    check_events(execution)


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, MemoryError])
def test_a_member_that_wants_to_end_its_process_only_fails(
    register: Register, ending: type[BaseException]
) -> None:
    def leave(given: Any) -> None:
        raise ending("Enough.")

    bad = {"key": "m1", "role_name": register(leave), "on_error": "continue"}
    execution = crowd(role(), special=[bad])

    do(execution)

    error = run_at(execution, "m1").error
    assert error
    assert error["type"] == "exception"
    assert list(statuses(execution).values()).count("completed") == 3


def test_a_member_whose_output_is_not_json_only_fails(register: Register) -> None:
    def odd(given: Any) -> Any:
        return {"when": object()}

    bad = {"key": "m1", "role_name": register(odd), "on_error": "continue"}
    execution = crowd(role(), special=[bad])

    do(execution)

    error = run_at(execution, "m1").error
    assert error
    assert error["type"] == "not_json"
    assert list(statuses(execution).values()).count("completed") == 3


@pytest.mark.parametrize("on_error", ["continue", "fail"])
def test_an_outcome_that_the_database_refuses_fails_its_member_alone(
    on_error: str,
) -> None:
    execution = crowd(role(), special=[{"key": "m2", "on_error": on_error}])

    with refusing("NEW.path = 'm2' AND NEW.status = 'completed'"):
        do(execution)

    assert now_of(execution).status == (
        "running" if on_error == "continue" else "failed"
    )
    error = run_at(execution, "m2").error
    assert error
    assert error["type"] == "internal_error"
    assert "not this one" in error["message"]
    assert {s for p, s in statuses(execution).items() if p != "m2"} == {"completed"}
    check_events(execution)


def test_a_retry_that_the_database_refuses_leaves_no_member_behind(
    broker: redis.Redis,
) -> None:
    execution = retrying(0)
    broker.delete("cpu")

    with refusing("NEW.status = 'retrying'"):
        do(execution)
    deliver_all(broker)

    assert "running" not in statuses(execution).values()
    assert run_at(execution, "m0").status == "completed"
    assert now_of(execution).status == "failed"


class Quitting:
    """A fault that ends whatever is at hand, where a failpoint would."""

    point, step = "before_commit", "m1"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def happens(self, path: str | None) -> bool:
        return path == self.step

    def do(self) -> None:
        raise self.error


@pytest.mark.parametrize("point", ["after_claim", "before_commit"])
@pytest.mark.parametrize("on_error", ["continue", "fail"])
def test_a_fault_of_the_engine_itself_fails_its_member_alone(
    monkeypatch: pytest.MonkeyPatch, point: str, on_error: str
) -> None:
    execution = crowd(role(), on_error=on_error)
    monkeypatch.setattr(failpoints, "_planned", failpoints.parse(f"{point}@m1:raise"))

    do(execution)

    error = run_at(execution, "m1").error
    assert error
    assert error["type"] == "internal_error"
    assert statuses(execution)["m0"] == "completed"
    rest = {statuses(execution)[key] for key in ("m2", "m3")}
    assert rest == {"completed" if on_error == "continue" else "cancelled"}
    check_events(execution)


def test_who_is_torn_out_of_a_batch_leaves_the_rest_to_others(
    monkeypatch: pytest.MonkeyPatch, broker: redis.Redis, this_worker: Worker
) -> None:
    # Given a process that is ended between a member's work and its record
    execution = crowd(role())
    broker.delete("cpu")
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_planned", [Quitting(SystemExit())])
        with pytest.raises(SystemExit):
            do(execution)

    # Then what was done is recorded, and what waited is done by others at once
    assert statuses(execution) == {
        "m0": "completed",
        "m1": "running",
        "m2": "pending",
        "m3": "pending",
    }
    assert sent(broker) == ["m2", "m3"]
    deliver_all(broker)
    assert statuses(execution)["m3"] == "completed"

    # ... and the one at hand when the lease has ended
    end_lease(this_worker.id)
    this_worker._give_up_lost_lease()
    assert recovery.free_lost_steps() == 1
    recovery.wake_due()
    this_worker._beat()
    deliver_all(broker)
    assert now_of(execution).status == "completed"


# --- messages that are late, stale, or not alone ------------------------------------


def test_a_batch_that_is_delivered_again_when_it_is_done_does_nothing(
    broker: redis.Redis,
) -> None:
    execution = crowd(role())
    do(execution)
    before = told(execution)
    broker.delete("cpu")

    do(execution)

    assert told(execution) == before
    assert messages(broker) == []


def test_a_batch_that_is_delivered_again_while_it_runs_begins_nothing_twice(
    register: Register, broker: redis.Redis
) -> None:
    called: list[str] = []

    def twice(given: str) -> None:
        called.append(given)
        if called == ["m0"]:
            assert at_once(lambda: do(execution)) == [None]

    each = [{"key": key, "input_mapping": key} for key in keys(4)]
    execution = crowd(register(twice), special=each)
    broker.delete("cpu")

    do(execution)

    assert called == keys(4)
    assert sent(broker) == keys(4)  # they come back when these have ended
    deliver_all(broker)
    assert called == keys(4)
    assert now_of(execution).status == "completed"
    check_events(execution)


def test_two_batches_at_once_share_the_members(register: Register) -> None:
    called: list[str] = []

    def note(given: str) -> None:
        called.append(given)

    each = [{"key": key, "input_mapping": key} for key in keys(12)]
    execution = crowd(register(note), size=12, special=each)

    results = at_once(*[lambda: do(execution, size=12)] * 3)

    assert [r for r in results if isinstance(r, Exception)] == []
    assert sorted(called) == sorted(keys(12))
    assert set(statuses(execution).values()) == {"completed"}
    check_events(execution)


def test_a_member_that_another_worker_has_is_asked_for_singly(
    broker: redis.Redis,
) -> None:
    execution = crowd(role())
    theirs = claimed(execution, "m1", by=worker())
    broker.delete("cpu")

    do(execution)

    assert statuses(execution)["m1"] == "running"
    assert sent(broker) == ["m1"]
    assert lifecycle.settle(theirs, DONE)
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert run_at(execution, "m1").attempt == 1


def test_a_member_that_is_claimed_between_the_look_and_the_claim_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    called: list[str] = []

    def note(given: str) -> None:
        called.append(given)

    each = [{"key": key, "input_mapping": key} for key in keys(4)]
    execution = crowd(register(note), special=each)
    fetch, theirs = database.fetch, worker()

    def claimed_before(sql: Any, params: Any) -> Any:
        if "pace" in sql:
            claimed(execution, "m2", by=theirs)
        return fetch(sql, params)

    monkeypatch.setattr(batches, "fetch", claimed_before)

    do(execution)

    assert called == ["m0", "m1", "m3"]
    assert run_at(execution, "m2").worker == theirs


def test_a_member_with_a_history_goes_its_own_way(broker: redis.Redis) -> None:
    execution, lost = crowd(role()), worker()
    claimed(execution, "m2", by=lost)
    end_lease(lost)
    broker.delete("cpu")

    do(execution)

    assert sent(broker) == ["m2"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    run = run_at(execution, "m2")
    assert (run.attempt, run.crashes) == (2, 1)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_batch_of_another_epoch_does_nothing(epoch: int) -> None:
    execution = crowd(role())
    address = address_of(execution)
    other = Address(execution=address.execution, version=address.version, epoch=epoch)

    work_off(other, keys(4))

    assert nothing_of(execution)


def test_a_batch_whose_epoch_ends_between_look_and_claim_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution, fetch = crowd(role()), database.fetch

    def sent_again_before(sql: Any, params: Any) -> Any:
        if "pace" in sql:
            lifecycle.next_epoch(execution.pk, epoch=1, block=0)
        return fetch(sql, params)

    monkeypatch.setattr(batches, "fetch", sent_again_before)

    do(execution)

    assert nothing_of(execution)


def test_a_batch_of_an_execution_that_is_gone_does_nothing() -> None:
    execution = crowd(role())
    address = address_of(execution)
    execution.delete()

    work_off(address, keys(4))

    assert not Event.objects.exists()


@pytest.mark.parametrize("how", ["paused", "terminated", "cancelled"])
def test_a_batch_of_an_execution_that_does_not_go_on_does_nothing(how: str) -> None:
    execution = crowd(role())
    address = address_of(execution)
    if how == "paused":
        control.pause(execution.pk, by=None)
    elif how == "terminated":
        control.terminate(execution.pk, by=None)
    else:
        control.cancel(execution.pk, by=None)

    work_off(address, keys(4))

    assert nothing_of(execution)


def test_a_batch_that_finds_its_execution_being_cancelled_ends_it() -> None:
    execution = crowd(role())
    theirs = claimed(execution, "m1", by=worker())
    control.cancel(execution.pk, by=None)
    assert now_of(execution).status == "running"
    assert lifecycle.settle(theirs, DONE)

    do(execution)

    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {"m1": "completed"}


def test_a_batch_whose_turn_has_not_come_does_nothing(broker: redis.Redis) -> None:
    same = role()
    execution = launched(step("a", same), *group(*keys(4), of=same))

    do(execution)

    assert nothing_of(execution)
    finish(execution, "a")
    do(execution)
    assert set(statuses(execution).values()) == {"completed"}


def test_a_batch_comes_back_as_it_is_when_postgresql_is_away(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = crowd(role(), size=16)
    message = take(broker)
    assert message is not None
    rest = len(messages(broker))

    with postgres_away(monkeypatch):
        assert deliver(message) == "RETRY"

    assert nothing_of(execution)
    assert len(messages(broker)) == rest + 1
    (back,) = [m for m in messages(broker) if m.headers["eta"]]
    assert (back.task, back.kwargs) == (RUN_STEPS, message.kwargs)
    deliver_all(broker)
    assert now_of(execution).status == "completed"


# --- stopped in the middle ----------------------------------------------------------


def interrupted(
    register: Register, act: Callable[[Execution], object], *, at: str = "m1"
) -> tuple[Execution, list[str]]:
    """Do a batch of four; while `at` runs, something happens to the execution."""
    called: list[str] = []

    def work(given: str) -> str:
        called.append(given)
        if given == at:
            act(execution)
        return given

    each = [{"key": key, "input_mapping": key} for key in keys(4)]
    execution = crowd(register(work), special=each)
    do(execution)
    return execution, called


def test_what_ends_after_its_execution_was_terminated_changes_nothing(
    register: Register,
) -> None:
    execution, _ = interrupted(
        register, lambda e: control.terminate(e.pk, by=None), at="m1"
    )

    assert now_of(execution).status == "cancelled"
    assert set(statuses(execution).values()) == {"cancelled"}
    last = told(execution).index("execution.cancelled")
    assert told(execution)[last + 1 :] == []
    check_events(execution)


def test_a_pause_lets_what_was_claimed_end_and_resuming_finishes_the_rest(
    register: Register, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(execution: Execution) -> None:
        control.pause(execution.pk, by=None)
        monkeypatch.setattr(relief, "PATIENCE_S", -1.0)

    execution, called = interrupted(register, pause)

    assert called == ["m0", "m1"]
    assert statuses(execution) == {
        "m0": "completed",
        "m1": "completed",
        "m2": "pending",
        "m3": "pending",
    }
    deliver_all(broker)
    assert called == ["m0", "m1"]
    control.resume(execution.pk, by=None)
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert sorted(called) == keys(4)
    check_events(execution)


def test_a_cancelled_executions_members_that_wait_are_never_begun(
    register: Register, broker: redis.Redis, this_worker: Worker
) -> None:
    def cancel(execution: Execution) -> None:
        control.cancel(execution.pk, by=None)
        this_worker._beat()  # it tells the member at hand to stop
        threading.Event().wait()

    execution, called = interrupted(register, cancel)
    deliver_all(broker)

    assert called == ["m0", "m1"]
    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {
        "m0": "completed",
        "m1": "cancelled",
        "m2": "cancelled",
        "m3": "cancelled",
    }
    check_events(execution)


def test_an_executions_deadline_that_cuts_a_member_leaves_the_rest_to_it(
    register: Register, broker: redis.Redis
) -> None:
    called: list[str] = []

    def work(given: str) -> None:
        called.append(given)
        if given == "m1":
            threading.Event().wait()

    each = [{"key": key, "input_mapping": key} for key in keys(4)]
    same = register(work)
    execution = launched(
        *({**m, **e} for m, e in zip(group(*keys(4), of=same), each, strict=True)),
        timeout_ms=1200,
    )

    do(execution)
    assert lifecycle.time_out(execution.pk)
    deliver_all(broker)

    assert called == ["m0", "m1"]
    assert now_of(execution).status == "timed_out"
    assert statuses(execution)["m0"] == "completed"
    check_events(execution)


def test_under_a_new_epoch_what_is_done_is_kept(register: Register) -> None:
    execution, called = interrupted(
        register, lambda e: lifecycle.next_epoch(e.pk, epoch=1, block=0)
    )

    assert called == keys(4)
    assert set(statuses(execution).values()) == {"completed"}


def test_a_lease_that_is_lost_in_the_middle_stops_one_and_frees_the_others(
    register: Register, broker: redis.Redis, this_worker: Worker
) -> None:
    def lose(execution: Execution) -> None:
        broker.delete("cpu")
        this_worker._renewed = monotonic() - 13  # of 15 seconds
        this_worker._give_up_lost_lease()
        threading.Event().wait()

    execution, called = interrupted(register, lose)

    assert called == ["m0", "m1"]
    assert statuses(execution) == {
        "m0": "completed",
        "m1": "running",
        "m2": "pending",
        "m3": "pending",
    }
    assert sent(broker) == ["m2", "m3"]
    assert run_at(execution, "m1").worker != this_worker.id
    check_events(execution)


# --- handing over -------------------------------------------------------------------


def test_members_behind_a_long_one_are_done_by_others_while_it_runs(
    register: Register, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
    seen: dict[str, str] = {}

    def hold(given: Any) -> str:
        until(lambda: len(sent(broker)) == 2, "two single messages")
        assert at_once(lambda: deliver_all(broker))
        seen.update(statuses(execution))
        return "long"

    execution = crowd(role(), special=[{"key": "m1", "role_name": register(hold)}])
    broker.delete("cpu")

    do(execution)

    assert seen == {
        "m0": "completed",
        "m1": "running",
        "m2": "completed",
        "m3": "completed",
    }
    run = run_at(execution, "m1")
    assert (run.status, run.output, run.attempt) == ("completed", "long", 1)
    assert set(attempts(execution).values()) == {1}
    own = [e for e in told(execution) if e.endswith(" m1")]
    assert own == ["step.started m1", "step.completed m1"]
    check_events(execution)


def test_the_long_member_is_told_of_while_it_runs(
    register: Register, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)

    def hold(given: Any) -> None:
        until(lambda: "step.started m3" in told(execution), "the news of the last")

    execution = crowd(role(), special=[{"key": "m3", "role_name": register(hold)}])
    broker.delete("cpu")

    do(execution)

    assert messages(broker) == []
    assert set(statuses(execution).values()) == {"completed"}
    run = run_at(execution, "m3")
    assert run.started_at
    (event,) = Event.objects.filter(execution=execution, type="step.started", path="m3")
    assert event.created_at == run.started_at
    check_events(execution)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"on_error": "continue"}, "failed"),
        ({"on_error": "fail"}, "failed"),
        ({"max_retries": 1, "retry_delay_ms": 0}, "retrying"),
    ],
)
def test_a_long_member_that_fails_in_the_end_began_once(
    register: Register,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    status: str,
) -> None:
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)

    def fail_late(given: Any) -> None:
        until(lambda: "step.started m1" in told(execution), "the news of it")
        raise LookupError

    late = {"key": "m1", "role_name": register(fail_late), **fields}
    execution = crowd(role(), special=[late])
    broker.delete("cpu")

    do(execution)

    assert statuses(execution)["m1"] == status
    own = [e for e in told(execution) if e.endswith(" m1")]
    assert own == ["step.started m1", f"step.{status} m1"]
    assert statuses(execution)["m0"] == "completed"
    check_events(execution)


@pytest.mark.usefixtures("impatient")
def test_a_batch_that_was_frozen_before_its_first_member_begins_none(
    register: Register, broker: redis.Redis
) -> None:
    called: list[Any] = []

    def note(given: Any) -> None:
        called.append(given)

    execution = crowd(register(note))
    broker.delete("cpu")

    do(execution)

    assert called == []
    assert set(statuses(execution).values()) == {"pending"}
    assert sent(broker) == keys(4)
    assert [e for e in told(execution) if e.startswith("step.")] == []
    deliver_all(broker)
    assert len(called) == 4
    assert now_of(execution).status == "completed"


def test_what_is_handed_over_after_a_freeze_is_not_begun_here(
    register: Register,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    this_worker: Worker,
) -> None:
    def freeze(execution: Execution) -> None:
        """Let the lease end, and others do everything meanwhile."""
        end_lease(this_worker.id)
        for run in execution.step_runs.filter(status="running"):
            assert lifecycle.return_lost(run.pk, max_crashes=3, wake=False)
            finish(execution, run.path)
        monkeypatch.setattr(relief, "PATIENCE_S", -1.0)

    execution, called = interrupted(register, freeze)

    assert called == ["m0", "m1"]
    assert set(outputs(execution)["m1"]) == {"n"}
    assert set(statuses(execution).values()) == {"completed"}
    assert set(attempts(execution).values()) == {2}
    check_events(execution)


def handed(execution: Execution, *, size: int = 4) -> batch.Batch:
    """Claim members as a batch does that has not begun any."""
    plan, address = plan_of(execution), address_of(execution)
    members = [plan.by_path[key] for key in keys(size)]
    known = situation.read_before(execution.pk, plan, *members)
    assert known
    made = batch.Batch(plan=plan, address=address, known=known)
    made.claim(members)
    return made


def test_handing_over_twice_sends_once(broker: redis.Redis) -> None:
    execution = crowd(role())
    broker.delete("cpu")
    made = handed(execution)

    made.hand_over()
    made.hand_over()

    assert sent(broker) == keys(4)
    assert {run.fence for run in execution.step_runs.all()} == {2}


def test_a_worker_and_its_relief_that_hand_over_at_once_do_so_once(
    broker: redis.Redis,
) -> None:
    execution = crowd(role())
    broker.delete("cpu")
    made = handed(execution)

    assert at_once(made.hand_over, made.hand_over) == [None, None]

    assert sent(broker) == keys(4)


def test_a_member_that_was_put_back_is_as_if_nobody_had_had_it() -> None:
    execution = crowd(role())
    handed(execution).hand_over()

    run = run_at(execution, "m0")
    assert (run.status, run.attempt, run.crashes, run.fence) == ("pending", 0, 0, 2)
    assert (run.worker, run.started_at, run.deadline_at) == (None, None, None)
    claim = claimed(execution, "m0")
    assert (claim.attempt, claim.tries, claim.fence) == (1, 1, 3)


def test_a_member_with_a_limit_for_all_its_attempts_has_all_of_it_when_put_back() -> (
    None
):
    execution = crowd(role(), total_timeout_ms=5000)
    handed(execution).hand_over()

    claim = claimed(execution, "m0", total_timeout_ms=5000)

    assert claim.step_left_s
    assert claim.step_left_s == pytest.approx(5, abs=0.5)


def test_a_member_that_others_took_meanwhile_is_not_put_back(
    broker: redis.Redis, this_worker: Worker
) -> None:
    execution = crowd(role())
    made = handed(execution)
    end_lease(this_worker.id)
    run = run_at(execution, "m1")
    assert lifecycle.return_lost(run.pk, max_crashes=3, wake=False)
    theirs = claimed(execution, "m1", by=worker())
    broker.delete("cpu")

    made.hand_over()

    assert run_at(execution, "m1").status == "running"
    assert sent(broker) == ["m0", "m2", "m3"]
    assert lifecycle.settle(theirs, DONE)


def test_in_an_execution_that_has_ended_nothing_is_sent(broker: redis.Redis) -> None:
    execution = crowd(role())
    made = handed(execution)
    broker.delete("cpu")
    control.terminate(execution.pk, by=None)

    made.hand_over()

    assert messages(broker) == []
    assert set(statuses(execution).values()) == {"cancelled"}


@pytest.mark.usefixtures("impatient", "broker_away")
def test_what_is_handed_over_without_a_broker_is_sent_by_the_reconciler(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = crowd(role())
    do(execution)
    assert set(statuses(execution).values()) == {"pending"}
    monkeypatch.undo()

    age(execution, 60)
    assert recovery.resend_lost(broker) == 1

    assert sorted(sent(broker)) == keys(4)


def test_a_hand_over_waits_for_whoever_ends_the_execution(
    broker: redis.Redis,
) -> None:
    execution = crowd(role())
    made = handed(execution)
    broker.delete("cpu")
    results: list[Any] = []

    with transaction.atomic():
        control.terminate(execution.pk, by=None)
        late = threading.Thread(target=lambda: results.extend(at_once(made.hand_over)))
        late.start()
        waiting_for_locks(1)
    late.join(PATIENCE_S)

    assert results == [None]
    assert set(statuses(execution).values()) == {"cancelled"}
    assert messages(broker) == []


def test_what_is_handed_over_waits_for_a_worker_for_a_limited_time() -> None:
    execution = crowd(role(), queue_timeout_ms=60_000, on_error="continue")
    made = handed(execution)
    Execution.objects.filter(pk=execution.pk).update(wake_at=None)

    made.hand_over()

    assert now_of(execution).wake_at is not None
    assert queueing.expire_overdue(execution.pk) == 0
    age(execution, 120)
    assert queueing.expire_overdue(execution.pk) == 4
    assert set(statuses(execution).values()) == {"timed_out"}
    check_events(execution)


# --- the relief ---------------------------------------------------------------------


class Failing:
    """A batch that cannot be relieved."""

    is_late = True

    def __init__(self) -> None:
        self.tried = threading.Event()

    def hand_over(self) -> None:
        self.tried.set()
        raise LookupError


def test_the_relief_goes_on_after_a_batch_that_it_could_not_relieve(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing, parting = Failing(), Parting()

    with this_relief().watching(failing):
        assert failing.tried.wait(PATIENCE_S)
    with this_relief().watching(parting):
        assert parting.done.wait(PATIENCE_S)

    assert "could not be relieved" in caplog.text


def test_two_batches_in_threads_are_both_relieved() -> None:
    first, second, third = Parting(), Parting(), Parting()

    with this_relief().watching(first), this_relief().watching(second):
        assert second.done.wait(PATIENCE_S)
        assert first.done.wait(PATIENCE_S)
    with this_relief().watching(third):
        assert third.done.wait(PATIENCE_S)


def test_a_batch_that_is_over_is_looked_after_no_more() -> None:
    over, parting, last = Parting(), Parting(), Parting()
    with this_relief().watching(over):
        assert over.done.wait(PATIENCE_S)

    with this_relief().watching(parting):
        assert parting.done.wait(PATIENCE_S)  # it has looked at all once more
        over.done.clear()
        with this_relief().watching(last):
            assert last.done.wait(PATIENCE_S)

    assert not over.done.is_set()


def test_a_child_has_a_relief_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = this_relief()
    monkeypatch.setattr(relief, "_reliefs", {-1: parent})  # as it is after a fork

    assert this_relief() is not parent
    assert this_relief() is this_relief()


def test_a_relief_that_finds_no_database_hands_over_when_it_is_back(
    register: Register, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
    with outages() as begin:

        def hold(given: Any) -> None:
            begin()
            until(lambda: len(sent(broker)) == 2, "two single messages")

        execution = crowd(role(), special=[{"key": "m1", "role_name": register(hold)}])
        broker.delete("cpu")
        do(execution)

    assert statuses(execution)["m0"] == statuses(execution)["m1"] == "completed"
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert set(attempts(execution).values()) == {1}
    check_events(execution)


def test_a_batchs_outcomes_outlive_an_outage(register: Register) -> None:
    calls: list[str] = []
    with outages() as begin:

        def outage(given: Any) -> str:
            calls.append("called")
            begin()
            return "result"

        last = {"key": "m3", "role_name": register(outage)}
        execution = crowd(role(), special=[last])
        do(execution)

    assert calls == ["called"]
    assert outputs(execution)["m3"] == "result"
    assert set(statuses(execution).values()) == {"completed"}
    check_events(execution)


def test_a_process_that_ends_gives_up_waiting_and_its_members_are_recovered(
    register: Register,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    this_worker: Worker,
) -> None:
    calls: list[str] = []

    def outage(given: Any) -> str:
        calls.append("called")
        if len(calls) == 1:
            patience.let_go()
            connection.close()
            gone.setitem(connection.settings_dict, "HOST", "/nowhere")
        return "result"

    execution = crowd(role(), special=[{"key": "m3", "role_name": register(outage)}])
    broker.delete("cpu")
    with pytest.MonkeyPatch.context() as gone:
        gone.setattr(patience, "_process_ends", threading.Event())
        with pytest.raises(OperationalError):
            do(execution)

    assert set(statuses(execution).values()) == {"running"}
    end_lease(this_worker.id)
    this_worker._give_up_lost_lease()
    assert recovery.free_lost_steps() == 4
    age(execution, 1)
    recovery.wake_due()
    this_worker._beat()
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert calls == ["called"] * 2


# --- replies that are lost ----------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_claims_whose_reply_was_lost_are_recognised(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    execution = crowd(role(), size=6)
    lost = lose_reply(monkeypatch, batches, "ON CONFLICT (id) DO NOTHING", times=times)

    do(execution, size=6)

    assert len(lost) == times
    assert set(statuses(execution).values()) == {"completed"}
    assert set(attempts(execution).values()) == {1}
    check_events(execution)


def test_claims_whose_reply_was_lost_with_the_lease_are_not_taken_for_own(
    monkeypatch: pytest.MonkeyPatch, this_worker: Worker, register: Register
) -> None:
    called: list[Any] = []

    def note(given: Any) -> None:
        called.append(given)

    execution, fetch = crowd(register(note)), database.fetch

    def losing(sql: str, params: Any) -> Any:
        rows = fetch(sql, params)
        if "ON CONFLICT (id) DO NOTHING" in sql and this_worker.may_work:
            this_worker._renewed -= 600
            this_worker._give_up_lost_lease()
            raise OperationalError("the connection broke after the commit")
        return rows

    monkeypatch.setattr(batches, "fetch", losing)

    do(execution)

    assert called == []
    assert set(statuses(execution).values()) == {"running"}
    assert this_worker.id not in {run.worker for run in execution.step_runs.all()}


def test_claims_of_others_are_not_among_those_whose_reply_was_lost(
    monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    called: list[str] = []

    def note(given: str) -> None:
        called.append(given)

    each = [{"key": key, "input_mapping": key} for key in keys(4)]
    execution = crowd(register(note), special=each)
    fetch, theirs = database.fetch, worker()
    lost: list[str] = []

    def losing(sql: Any, params: Any) -> Any:
        if "pace" in sql and not lost:
            claimed(execution, "m2", by=theirs)
            fetch(sql, params)
            lost.append(sql)
            raise OperationalError("the connection broke after the commit")
        return fetch(sql, params)

    monkeypatch.setattr(batches, "fetch", losing)

    do(execution)

    assert called == ["m0", "m1", "m3"]
    assert run_at(execution, "m2").worker == theirs


@pytest.mark.parametrize("times", [1, 3])
def test_outcomes_whose_reply_was_lost_are_recorded_once(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    execution = crowd(role())
    lost = lose_reply(monkeypatch, settlements, "'step.' || done.status", times=times)

    do(execution)

    assert len(lost) == times
    assert set(statuses(execution).values()) == {"completed"}
    check_events(execution)


@pytest.mark.usefixtures("impatient")
def test_members_whose_putting_back_was_not_confirmed_are_sent_all_the_same(
    monkeypatch: pytest.MonkeyPatch, broker: redis.Redis
) -> None:
    execution = crowd(role())
    broker.delete("cpu")
    lost = lose_reply(monkeypatch, batches, "status = 'pending', attempt = 0")

    do(execution)

    assert lost
    assert sent(broker) == keys(4)
    assert {run.fence for run in execution.step_runs.all()} == {2}
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_beginning_whose_reply_was_lost_is_told_once(
    monkeypatch: pytest.MonkeyPatch, register: Register, broker: redis.Redis
) -> None:
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
    lost = lose_reply(monkeypatch, batches, "SELECT execution_id, 'step.started', path")

    def hold(given: Any) -> None:
        until(lambda: len(sent(broker)) == 2, "two single messages")

    execution = crowd(role(), special=[{"key": "m1", "role_name": register(hold)}])
    broker.delete("cpu")

    do(execution)

    assert lost
    assert told(execution).count("step.completed m1") == 1
    # A second telling of one beginning does less harm than none.
    assert told(execution).count("step.started m1") in (1, 2)


# --- workers that are gone ----------------------------------------------------------


def test_members_of_a_killed_process_are_freed_and_run_singly(
    broker: redis.Redis, this_worker: Worker
) -> None:
    execution = crowd(role(), size=16)
    broker.delete("cpu")
    lost = worker()
    runs = [new_run(execution, key, by=lost) for key in keys(16)]
    assert len(lifecycle.claim_many(runs, started=False)) == 16
    end_lease(lost)

    assert recovery.free_lost_steps() == 16
    recovery.wake_due()

    assert {m.task for m in messages(broker)} == {RUN_STEP}
    assert {m.queue for m in messages(broker)} == {"cpu.recovery"}
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    members = execution.step_runs.exclude(path="after")
    assert {(run.attempt, run.crashes) for run in members} == {(2, 1)}


def test_a_redelivered_batch_of_a_killed_process_takes_its_members_over_singly(
    broker: redis.Redis,
) -> None:
    execution, lost = crowd(role(), size=16), worker()
    runs = [new_run(execution, key, by=lost) for key in keys(16)]
    lifecycle.claim_many(runs, started=False)
    end_lease(lost)

    delivered = deliver_all(broker)

    assert len([m for m in delivered if m.task == RUN_STEPS]) == 4
    assert now_of(execution).status == "completed"
    check_events(execution)


def test_what_an_old_attempt_reports_affects_nothing() -> None:
    execution, lost = crowd(role()), worker()
    runs = [new_run(execution, key, by=lost) for key in keys(4)]
    claims = lifecycle.claim_many(runs, started=False)
    end_lease(lost)
    for claim in claims[:2]:
        assert lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)
    finish(execution, "m0")

    finished = [
        Finished(claim=claim, outcome=DONE, began_ago=2.0, ended_ago=1.0)
        for claim in claims
    ]
    recorded = lifecycle.settle_many(finished)

    assert recorded == {claim.run.id for claim in claims[2:]}
    assert statuses(execution) == {
        "m0": "completed",
        "m1": "retrying",
        "m2": "completed",
        "m3": "completed",
    }
    assert lifecycle.settle_many(finished) == set()
    lifecycle.put_back(claims)
    assert run_at(execution, "m1").status == "retrying"
    assert not lifecycle.tell_begun((claims[0], 0))


# --- claims of many -----------------------------------------------------------------


def test_many_claims_come_in_the_order_of_their_runs() -> None:
    execution = crowd(role(), size=10)
    runs = [new_run(execution, key) for key in reversed(keys(10))]

    claims = lifecycle.claim_many(runs, started=False)

    assert [claim.run.path for claim in claims] == list(reversed(keys(10)))
    assert {(c.attempt, c.fence, c.limit) for c in claims} == {(1, 1, "attempt")}


@pytest.mark.parametrize("started", [False, True])
def test_of_many_who_claim_the_same_runs_each_run_has_one(started: bool) -> None:
    execution = crowd(role(), size=10)
    if started:
        claimed(execution, "m9")

    def claim() -> list[str]:
        by = worker()
        runs = [new_run(execution, key, by=by) for key in keys(10)]
        claims = lifecycle.claim_many(runs, started=started)
        return [claim.run.path for claim in claims]

    results = at_once(*[claim] * 4)

    won = [path for paths in results if isinstance(paths, list) for path in paths]
    assert sorted(won) == keys(9 if started else 10)
    assert told(execution).count("execution.started") == 1


def test_claims_of_members_with_different_limits_keep_their_own() -> None:
    execution = crowd(role())
    limits: list[dict[str, Any]] = [
        {"timeout_ms": 5000},
        {"timeout_ms": 5000, "total_timeout_ms": 2000},
        {"timeout_ms": 1000, "total_timeout_ms": 2000},
    ]
    runs = [
        new_run(execution, key, **limit)
        for key, limit in zip(keys(3), limits, strict=True)
    ]

    claims = lifecycle.claim_many(runs, started=False)

    assert [claim.limit for claim in claims] == ["attempt", "step", "attempt"]
    assert [round(claim.left_s) for claim in claims] == [5, 2, 1]


def test_nobody_claims_what_a_batch_has_done() -> None:
    execution = crowd(role())
    do(execution)

    assert all(try_claim(execution, key) is None for key in keys(4))


def test_a_single_message_for_a_member_of_a_batch_under_way_comes_back(
    register: Register,
) -> None:
    came: list[Any] = []

    def look(execution: Execution) -> None:
        came.extend(at_once(lambda: walk(execution, "m3")))

    interrupted(register, look)

    (signal,) = came
    assert isinstance(signal, ComeBack)
    assert signal.path == "m3"
