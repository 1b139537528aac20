"""Joins: a group's end is seen in the record, however often its parts return."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import redis
from celery import chord, current_app, signature
from celery.app.task import Context
from django.apps import apps
from django_celery_results.models import TaskResult

from executions import lifecycle, passage
from executions.joins import RecordBackend
from executions.models import Execution
from executions.signatures import JOIN, join
from tests.integration.engine import (
    DONE,
    FAILED,
    address_of,
    at_once,
    claimed,
    finish,
    group,
    launched,
    messages,
    now_of,
    postgres_away,
    role,
    step,
    told,
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
