"""Joins: a group's end is seen in the record, however often its parts return."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import redis
from celery import chord, current_app, signature
from celery.app.task import Context
from django.apps import apps
from django.db import connection
from django_celery_results.models import TaskResult

from executions import (
    control,
    database,
    lifecycle,
    passage,
    pinned,
    recovery,
    situation,
)
from executions.joins import RecordBackend
from executions.lifecycle import passages
from executions.models import Execution
from executions.signatures import JOIN, RUN_STEP, join
from executions.worker import patience, walk
from executions.worker.leases import Worker
from tests.integration.engine import (
    DONE,
    FAILED,
    address_of,
    age,
    at_once,
    claimed,
    deliver,
    deliver_all,
    finish,
    group,
    launched,
    messages,
    now_of,
    plan_of,
    postgres_away,
    role,
    run_at,
    step,
    take,
    told,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def backend() -> RecordBackend:
    made = current_app.backend
    assert isinstance(made, RecordBackend)
    return made


@pytest.fixture
def execution(broker: redis.Redis) -> Execution:
    """A group of three and a step after it; its messages are taken away."""
    same = role()
    made = launched(*group("a", "b", "c", of=same), step("after", same))
    broker.delete("cpu")
    return made


def part_of(execution: Execution, task_id: str = "t1", block: int = 0) -> Context:
    """Make the request of a header's part, as its worker has it."""
    body = dict(join(address_of(execution), block))
    return Context(id=task_id, group="g1", chord=body, ignore_result=True)


def returned(backend: RecordBackend, part: Context) -> None:
    backend.mark_as_done(part.id, None, request=part)


def counters() -> Any:
    return apps.get_model("django_celery_results", "ChordCounter")._default_manager


def joins(broker: redis.Redis) -> list[Any]:
    return [m.place for m in messages(broker) if m.task == JOIN]


# --- parts that return -------------------------------------------------------------


def test_the_last_part_publishes_the_join(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    for path in ("a", "b", "c"):
        assert joins(broker) == []
        finish(execution, path)
        returned(backend, part_of(execution, path))

    assert joins(broker) == [0]
    (message,) = messages(broker)
    assert message.queue == "control"
    assert message.kwargs["execution"] == str(execution.pk)


def test_a_part_that_is_delivered_again_and_again_publishes_nothing_early(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a")
    for _ in range(5):
        returned(backend, part_of(execution, "a"))

    assert joins(broker) == []


def test_the_order_in_which_parts_return_does_not_count(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "c", "b")
    returned(backend, part_of(execution, "c"))
    returned(backend, part_of(execution, "b"))
    assert joins(broker) == []

    finish(execution, "a")
    returned(backend, part_of(execution, "a"))

    assert joins(broker) == [0]


def test_a_step_that_runs_or_waits_keeps_the_join_back(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a")
    claimed(execution, "b")
    lifecycle.schedule_retry(claimed(execution, "c"), FAILED, delay_s=0, timer=False)

    returned(backend, part_of(execution, "a"))

    assert joins(broker) == []


def test_however_a_step_ended_it_counts(
    backend: RecordBackend, broker: redis.Redis
) -> None:
    same = role()
    execution = launched(
        *group("ok", "bad", "skipped", of=same, on_error="continue"),
        step("after", same),
    )
    broker.delete("cpu")
    finish(execution, "ok")
    lifecycle.settle(claimed(execution, "bad"), FAILED)
    lifecycle.skip(claimed(execution, "skipped").run)
    lifecycle.settle(_claim_again(execution, "skipped"), DONE)

    returned(backend, part_of(execution))

    assert joins(broker) == [0]


def _claim_again(execution: Execution, path: str) -> lifecycle.Claim:
    """Take over a step whose worker is unknown."""
    run_id = execution.step_runs.get(path=path).pk
    lifecycle.return_lost(run_id, max_crashes=3, wake=False)
    return claimed(execution, path)


def test_a_part_that_was_done_by_another_message_publishes_the_join_again(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    # Death between the last part's end and the join's publishing loses nothing.
    finish(execution, "a", "b", "c")

    returned(backend, part_of(execution, "c"))
    returned(backend, part_of(execution, "c"))

    assert joins(broker) == [0, 0]


def test_parts_of_another_execution_do_not_count(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    same = role()
    other = launched(*group("a", "b", "c", of=same))
    finish(other, "a", "b", "c")
    broker.delete("cpu")

    returned(backend, part_of(execution))

    assert joins(broker) == []


def test_a_part_that_raised_is_looked_at_like_any(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b", "c")
    part = part_of(execution)

    backend.mark_as_failure(part.id, RuntimeError("lost"), request=part)

    assert joins(broker) == [0]


def test_all_parts_at_once_publish_the_join_at_least_once(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    def part(path: str) -> None:
        finish(execution, path)
        returned(backend, part_of(execution, path))

    at_once(*(partial(part, path) for path in ("a", "b", "c")))

    assert 1 <= len(joins(broker)) <= 3


def test_our_chords_leave_nothing_in_the_results_tables(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b", "c")
    returned(backend, part_of(execution))

    assert not counters().exists()
    assert not TaskResult.objects.exists()


# --- without a database, without a broker ---------------------------------------------


def test_without_postgresql_a_part_returns_quietly(
    backend: RecordBackend,
    execution: Execution,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish(execution, "a", "b", "c")
    part = part_of(execution)

    with postgres_away(monkeypatch):
        returned(backend, part)

    assert joins(broker) == []
    returned(backend, part)
    assert joins(broker) == [0]


@pytest.mark.usefixtures("broker_away")
def test_without_a_broker_the_step_stays_recorded(
    backend: RecordBackend, execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b", "c")

    returned(backend, part_of(execution))

    assert joins(broker) == []


# --- the join itself ------------------------------------------------------------------


def test_the_join_goes_on_once_however_often_it_is_delivered(
    execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b", "c")

    for _ in range(3):
        passage.join(address_of(execution), 0)

    assert [message.place for message in messages(broker)] == ["after"]
    assert now_of(execution).cursor == 1


def test_a_join_that_comes_early_does_nothing(
    execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b")
    claimed(execution, "c")

    passage.join(address_of(execution), 0)

    assert messages(broker) == []
    assert now_of(execution).cursor == 0


def test_a_stale_join_does_nothing(execution: Execution, broker: redis.Redis) -> None:
    finish(execution, "a", "b", "c")
    stale = address_of(execution)
    lifecycle.next_epoch(execution.pk, epoch=1, block=0)

    passage.join(stale, 0)

    assert messages(broker) == []


def test_a_join_in_a_cancelled_execution_does_nothing(
    execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b", "c")
    lifecycle.terminate(execution.pk, by=None, reason=None)

    passage.join(address_of(execution), 0)

    assert messages(broker) == []


def test_a_last_join_completes_the_execution_once(broker: redis.Redis) -> None:
    execution = launched(*group("a", "b", of=role()), output="{{ output.b.n }}")
    finish(execution, "a", "b")

    for _ in range(3):
        passage.join(address_of(execution), 0)

    assert (now_of(execution).status, now_of(execution).output) == ("completed", 1)
    assert told(execution).count("execution.completed") == 1


def test_a_join_leads_to_the_next_group(broker: redis.Redis) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), *group("c", "d", of=same, name="h"))
    broker.delete("cpu")
    finish(execution, "a", "b")

    passage.join(address_of(execution), 0)

    assert [message.place for message in messages(broker)] == ["c", "d"]


def test_an_advance_that_comes_early_does_nothing(broker: redis.Redis) -> None:
    same = role()
    execution = launched(step("first", same), *group("a", "b", of=same))
    broker.delete("cpu")
    claimed(execution, "first")

    passage.reach(address_of(execution), 1)

    assert messages(broker) == []


# --- whether a block is settled ----------------------------------------------------------


@pytest.mark.parametrize("open_one", range(5))
@pytest.mark.parametrize(
    "status",
    [None, "pending", "running", "retrying", "waiting", "needs_attention"],
)
def test_one_member_that_is_not_settled_keeps_its_block_open(
    open_one: int, status: str | None
) -> None:
    # Given a block of five among others, one of whose members is open
    same = role()
    members = [f"m{n}" for n in range(5)]
    execution = launched(
        step("first", same), *group(*members, of=same), step("after", same)
    )
    plan = plan_of(execution)
    block = plan.blocks[1]
    finish(execution, "first", "after", *(m for m in members if m != f"m{open_one}"))
    path = f"m{open_one}"
    if status:
        finish(execution, path)
        execution.step_runs.filter(path=path).update(status=status)

    # When it is settled, then so is the block
    assert not situation.all_settled(execution.pk, plan, block)
    if status is None:
        finish(execution, path)
    execution.step_runs.filter(path=path).update(status="skipped")
    assert situation.all_settled(execution.pk, plan, block)


@pytest.mark.parametrize(
    "status", ["completed", "failed", "timed_out", "skipped", "cancelled"]
)
def test_a_block_is_settled_however_its_members_ended(status: str) -> None:
    execution = launched(*group("a", "b", of=role()))
    finish(execution, "a", "b")
    execution.step_runs.update(status=status)

    plan = plan_of(execution)
    assert situation.all_settled(execution.pk, plan, plan.blocks[0])


# --- a step that the join does itself -------------------------------------------------


def once() -> dict[str, Any]:
    """Make the fields of a step that fails its first attempt only."""
    given = {"times": 1, "retryable": True}
    return {"input_mapping": given, "max_retries": 1}


def joined(*after: dict[str, Any], broker: redis.Redis, **fields: Any) -> Execution:
    """Start a group of two, done, with steps behind it; its join lies in the queue."""
    made = launched(*group("a", "b", of=role()), *after, **fields)
    broker.delete("cpu")
    finish(made, "a", "b")
    join(address_of(made), 0).apply_async()
    return made


def deliver_next(broker: redis.Redis) -> str:
    message = take(broker)
    assert message is not None
    return deliver(message)


def statuses(execution: Execution) -> dict[str, str]:
    runs = execution.step_runs.exclude(path__in=("a", "b"))
    return dict(runs.values_list("path", "status"))


@pytest.mark.usefixtures("this_worker")
def test_a_join_does_the_step_behind_it_and_those_that_follow(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = joined(step("c", same), step("d", same), broker=broker)

    assert deliver_next(broker) == "SUCCESS"

    assert messages(broker) == []
    assert now_of(execution).status == "completed"
    assert told(execution).count("step.started c") == 1


@pytest.mark.usefixtures("this_worker")
def test_a_join_that_is_delivered_again_does_nothing_twice(
    broker: redis.Redis,
) -> None:
    execution = joined(step("c", role()), broker=broker)
    message = take(broker)
    assert message is not None

    for _ in range(3):
        assert deliver(message) == "SUCCESS"

    assert told(execution).count("step.started c") == 1
    assert messages(broker) == []


def test_many_joins_at_once_do_the_step_once(
    broker: redis.Redis, this_worker: Worker
) -> None:
    this_worker.identity()
    execution = joined(step("c", role()), broker=broker)
    message = take(broker)
    assert message is not None

    states = at_once(*[partial(deliver, message)] * 4)

    assert set(states) <= {"SUCCESS", "RETRY"}
    assert told(execution).count("step.started c") == 1
    assert now_of(execution).status == "completed"


@pytest.mark.parametrize("queues", [["io"], ["io", "io.recovery"], []])
def test_a_step_whose_pool_is_not_served_here_is_sent(
    broker: redis.Redis, this_worker: Worker, queues: list[str]
) -> None:
    this_worker.queues = queues
    execution = joined(step("c", role()), broker=broker)

    assert deliver_next(broker) == "SUCCESS"

    assert statuses(execution) == {}
    assert [(m.queue, m.place) for m in messages(broker)] == [("cpu", "c")]
    this_worker.queues = ["cpu", "io"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_step_of_the_other_pool_is_sent_there(
    broker: redis.Redis, this_worker: Worker
) -> None:
    this_worker.queues = ["cpu.recovery", "control", "cpu"]
    wait = role("time.delay", config={"arguments": {"ms": 0}})
    execution = joined(step("c", wait), step("d", role()), broker=broker)

    deliver_next(broker)

    assert [(m.queue, m.place) for m in messages(broker)] == [("io", "c")]
    deliver_all(broker)
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("this_worker")
def test_a_step_behind_a_join_that_is_tried_again_comes_back_after_its_delay(
    broker: redis.Redis,
) -> None:
    again = step("c", role("util.fail"), retry_delay_ms=30_000, **once())
    execution = joined(again, step("d", role()), broker=broker)

    assert deliver_next(broker) == "SUCCESS"

    (message,) = messages(broker)
    assert (message.task, message.place) == (RUN_STEP, "c")
    assert message.headers["eta"] is not None
    assert [link["kwargs"]["path"] for link in message.chain] == ["d"]
    assert statuses(execution) == {"c": "retrying"}


@pytest.mark.usefixtures("this_worker")
def test_a_step_behind_a_join_that_is_tried_again_completes_in_the_end(
    broker: redis.Redis,
) -> None:
    again = step("c", role("util.fail"), retry_delay_ms=0, **once())
    execution = joined(again, step("d", role()), broker=broker)

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert run_at(execution, "c").attempt == 2
    assert told(execution).count("step.completed c") == 1


@pytest.mark.usefixtures("this_worker")
def test_a_later_step_of_the_walk_behind_a_join_comes_back_by_itself(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "WARM_S", 600.0)
    again = step("d", role("util.fail"), retry_delay_ms=0, **once())
    execution = joined(step("c", role()), again, step("e", role()), broker=broker)

    deliver_next(broker)

    assert [m.place for m in messages(broker)] == ["d"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert told(execution).count("step.started c") == 1


@pytest.mark.usefixtures("this_worker")
def test_a_retry_far_away_behind_a_join_is_the_reconcilers_to_wake(
    broker: redis.Redis,
) -> None:
    again = step("c", role("util.fail"), retry_delay_ms=90_000, **once())
    execution = joined(again, broker=broker)

    deliver_next(broker)

    assert messages(broker) == []
    assert now_of(execution).wake_at == run_at(execution, "c").retry_at


@pytest.mark.usefixtures("this_worker")
def test_a_step_behind_a_join_that_fails_ends_the_execution(
    broker: redis.Redis,
) -> None:
    execution = joined(step("c", role("util.fail")), step("d", role()), broker=broker)

    assert deliver_next(broker) == "SUCCESS"

    assert now_of(execution).status == "failed"
    assert messages(broker) == []


@pytest.mark.usefixtures("this_worker")
def test_a_join_of_a_paused_execution_leaves_the_step_to_the_resumption(
    broker: redis.Redis,
) -> None:
    execution = joined(step("c", role()), broker=broker)
    control.pause(execution.pk, by=None)

    assert deliver_next(broker) == "SUCCESS"
    assert (statuses(execution), messages(broker)) == ({}, [])

    control.resume(execution.pk, by=None)
    deliver_all(broker)
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("this_worker")
def test_a_pause_between_the_join_and_its_step_keeps_the_step_from_beginning(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an execution that is paused when the join has just moved it on
    execution = joined(step("c", role()), broker=broker)
    fetch = database.fetch

    def paused_after(sql: Any, params: Any) -> Any:
        rows = fetch(sql, params)
        if "RETURNING role_pins" in sql:
            control.pause(execution.pk, by=None)
        return rows

    monkeypatch.setattr(passages, "fetch", paused_after)

    # When the join is delivered
    assert deliver_next(broker) == "SUCCESS"

    # Then the step waits for the resumption, and is done by it
    assert (statuses(execution), messages(broker)) == ({}, [])
    monkeypatch.setattr(passages, "fetch", fetch)
    control.resume(execution.pk, by=None)
    deliver_all(broker)
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("this_worker")
def test_a_retry_behind_a_join_in_a_paused_execution_is_done_when_it_is_resumed(
    broker: redis.Redis,
    register: Callable[[Callable[..., Any]], str],
) -> None:
    calls: list[Any] = []

    def fail_in_a_pause(given: Any) -> None:
        calls.append(given)
        if len(calls) == 1:
            control.pause(paused.pk, by=None)
            raise LookupError

    again = step("c", register(fail_in_a_pause), max_retries=1, retry_delay_ms=0)
    paused = joined(again, broker=broker)

    assert deliver_next(broker) == "SUCCESS"
    assert statuses(paused) == {"c": "retrying"}
    deliver_all(broker)
    assert len(calls) == 1

    control.resume(paused.pk, by=None)
    deliver_all(broker)
    assert now_of(paused).status == "completed"
    assert (len(calls), run_at(paused, "c").attempt) == (2, 2)


@pytest.mark.usefixtures("this_worker")
def test_a_join_whose_step_another_worker_has_comes_back_for_it(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, theirs = joined(step("c", role()), broker=broker), worker()
    claims: list[lifecycle.Claim] = []
    fetch = database.fetch

    def taken_after(sql: Any, params: Any) -> Any:
        rows = fetch(sql, params)
        if "RETURNING role_pins" in sql:
            claims.append(claimed(execution, "c", by=theirs))
        return rows

    monkeypatch.setattr(passages, "fetch", taken_after)

    assert deliver_next(broker) == "SUCCESS"

    (message,) = messages(broker)
    assert (message.place, message.headers["eta"] is None) == ("c", False)
    assert lifecycle.settle(claims[0], DONE)
    deliver_all(broker)
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("this_worker")
def test_a_step_behind_a_join_comes_back_when_postgresql_goes_away(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a database that goes away when the join has just moved the execution on
    execution = joined(step("c", role()), broker=broker)
    message = take(broker)
    assert message is not None
    fetch = database.fetch

    settings, home = connection.settings_dict, connection.settings_dict["HOST"]
    for snapshot in execution.role_pins.values():
        pinned.role(snapshot)  # a worker keeps what it has read once

    def away_after(sql: Any, params: Any) -> Any:
        rows = fetch(sql, params)
        if "RETURNING role_pins" in sql:
            connection.close()
            monkeypatch.setitem(settings, "HOST", "/nowhere")
        return rows

    # When the worker has noticed that, and it is back
    monkeypatch.setattr(passages, "fetch", away_after)
    with told_of(patience.log, lambda: monkeypatch.setitem(settings, "HOST", home)):
        assert deliver(message) == "SUCCESS"
    deliver_all(broker)

    # Then the step is done, once
    assert now_of(execution).status == "completed"
    assert told(execution).count("step.started c") == 1


@contextmanager
def told_of(log: logging.Logger, act: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as anything is logged there."""
    handler = logging.Handler()
    handler.emit = lambda record: act()  # type: ignore[method-assign,assignment]
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


@pytest.mark.usefixtures("this_worker")
def test_a_worker_that_died_between_the_join_and_its_step_is_made_up_for(
    broker: redis.Redis,
) -> None:
    # Given a join that moved the execution on, and whose worker then did nothing
    execution = joined(step("c", role()), broker=broker)
    here = passage.join(address_of(execution), 0, here=["cpu"])
    assert here == passage.Here(address=address_of(execution), path="c", pool="cpu")
    broker.delete("control")

    # When nothing is heard of it for a while
    age(execution, 60)

    # Then its step is sent again
    assert recovery.resend_lost(broker) == 1
    assert deliver_all(broker) == [("cpu.recovery", "c")]
    assert now_of(execution).status == "completed"


def test_whoever_asks_without_serving_the_queue_sends_the_step(
    execution: Execution, broker: redis.Redis
) -> None:
    finish(execution, "a", "b", "c")

    assert passage.join(address_of(execution), 0, here=["io"]) is None

    assert [message.place for message in messages(broker)] == ["after"]


def test_a_group_behind_a_join_is_sent_whoever_asks(broker: redis.Redis) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), *group("c", "d", of=same, name="h"))
    broker.delete("cpu")
    finish(execution, "a", "b")

    assert passage.join(address_of(execution), 0, here=["cpu"]) is None

    assert [message.place for message in messages(broker)] == ["c", "d"]


def test_of_many_who_reach_a_step_one_gets_it(broker: redis.Redis) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), step("c", same))
    broker.delete("cpu")
    finish(execution, "a", "b")
    address = address_of(execution)

    came = at_once(*[partial(passage.reach, address, 1, here=["cpu"])] * 6)

    assert [one for one in came if one is not None] == [
        passage.Here(address=address, path="c", pool="cpu")
    ]
    assert messages(broker) == []


# --- other people's chords --------------------------------------------------------------


def test_chords_of_other_tasks_are_counted_as_ever(
    backend: RecordBackend, broker: redis.Redis
) -> None:
    header = [signature("other.part", queue="cpu") for _ in range(2)]

    chord(header, signature("other.body", queue="cpu")).apply_async()

    assert counters().get().count == 2
    part = next(m for m in messages(broker) if m.task == "other.part")
    request = Context(
        id=part.headers["id"], group=part.headers["group"], chord=part.chord
    )
    backend.on_chord_part_return(request, "SUCCESS", None)
    assert counters().get().count == 1
