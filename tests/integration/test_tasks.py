"""Messages: what is left of a chain when its worker has walked along it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import redis
from celery import current_app

from executions import lifecycle, recovery, tasks
from executions.canvas import WINDOW
from executions.models import Execution
from executions.signatures import ADVANCE, JOIN
from executions.worker import walk
from executions.worker.leases import Worker
from tests.integration.engine import (
    age,
    chain,
    deliver,
    deliver_all,
    finish,
    group,
    launched,
    messages,
    now_of,
    postgres_away,
    role,
    run_at,
    step,
    take,
    told,
    try_claim,
)
from tests.integration.statements import statements

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker"),
]


@pytest.fixture
def tireless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a walk go on however long it takes."""
    monkeypatch.setattr(walk, "WARM_S", 600.0)


@pytest.fixture
def step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step travel in a message of its own."""
    monkeypatch.setattr(walk, "WARM_S", -1.0)


def deliver_next(broker: redis.Redis) -> str:
    message = take(broker)
    assert message is not None
    return deliver(message)


def links_of(broker: redis.Redis) -> list[Any]:
    """Say where the only message leads, and then the rest of its chain."""
    (message,) = messages(broker)
    rest = [link["kwargs"] for link in reversed(message.chain)]
    places = [kwargs.get("path", kwargs.get("block")) for kwargs in rest]
    return [message.place, *places]


def statuses(execution: Execution) -> dict[str, str]:
    return dict(execution.step_runs.values_list("path", "status"))


# --- chains -------------------------------------------------------------------------


def test_the_tasks_have_the_names_of_the_contract() -> None:
    for task in (tasks.run_step, tasks.advance, tasks.join):
        assert current_app.tasks[task.name].acks_late


@pytest.mark.usefixtures("tireless")
def test_one_message_does_a_chain_of_short_steps(broker: redis.Redis) -> None:
    execution = chain("a", "b", "c")

    assert deliver_all(broker) == [("cpu", "a")]

    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("step_by_step")
def test_without_time_to_go_on_each_step_has_a_message(broker: redis.Redis) -> None:
    execution = chain("a", "b", "c")

    deliver_next(broker)
    assert links_of(broker) == ["b", "c"]
    deliver_next(broker)
    assert links_of(broker) == ["c"]
    deliver_next(broker)

    assert messages(broker) == []
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("tireless")
def test_the_chain_goes_on_with_the_step_that_the_walk_ended_at(
    broker: redis.Redis,
) -> None:
    same, wait = role(), role("time.delay", config={"arguments": {"ms": 0}})
    execution = launched(
        step("a", same), step("b", same), step("c", wait), step("d", same)
    )

    deliver_next(broker)
    assert statuses(execution) == {"a": "completed", "b": "completed"}
    assert links_of(broker) == ["c", "d"]
    assert messages(broker)[0].queue == "io"

    assert deliver_all(broker) == [("io", "c"), ("cpu", "d")]
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("tireless")
def test_a_walk_goes_on_past_the_window(broker: redis.Redis) -> None:
    execution = chain(*(f"s{n}" for n in range(WINDOW + 5)))

    assert deliver_all(broker) == [("cpu", "s0")]

    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("tireless")
def test_a_walk_that_ends_past_its_window_sends_the_next_one_itself(
    broker: redis.Redis,
) -> None:
    same, wait = role(), role("time.delay", config={"arguments": {"ms": 0}})
    late = WINDOW + 2
    keys = [f"s{n}" for n in range(WINDOW + 5)]
    execution = launched(
        *(step(key, wait if n == late else same) for n, key in enumerate(keys))
    )

    deliver_next(broker)

    assert links_of(broker) == keys[late:]
    assert now_of(execution).cursor == late
    deliver_all(broker)
    assert now_of(execution).status == "completed"


@pytest.mark.usefixtures("step_by_step")
def test_a_window_ends_in_advance_which_sends_the_next_one(
    broker: redis.Redis,
) -> None:
    execution = chain(*(f"s{n}" for n in range(WINDOW + 3)))

    for _ in range(WINDOW - 1):
        deliver_next(broker)
    assert links_of(broker) == [f"s{WINDOW - 1}", WINDOW]
    deliver_next(broker)

    # What only leads on is not sent round by the broker.
    assert links_of(broker) == [f"s{WINDOW + n}" for n in range(3)]
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_an_advance_that_is_delivered_again_sends_nothing_twice(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(step("a", same), *group("b", "c", of=same))
    finish(execution, "a")
    broker.delete("cpu")
    kwargs = {"execution": str(execution.pk), "version": str(execution.version_id)}
    advance = current_app.tasks[ADVANCE]
    for _ in range(3):
        advance.apply_async(kwargs={**kwargs, "epoch": 1, "block": 1}, queue="control")

    while message := take(broker):
        if message.task == ADVANCE:
            assert deliver(message) == "SUCCESS"
        else:
            break

    assert message is not None
    assert [message.place, *(m.place for m in messages(broker))] == ["b", "c"]


def test_a_failed_steps_chain_goes_no_further(broker: redis.Redis) -> None:
    same = role()
    execution = launched(step("a", role("util.fail")), step("b", same))

    assert deliver_all(broker) == [("cpu", "a")]

    assert now_of(execution).status == "failed"
    assert statuses(execution) == {"a": "failed"}


def test_a_stale_messages_chain_goes_no_further(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    lifecycle.next_epoch(execution.pk, epoch=1, block=0)

    assert deliver_all(broker) == [("cpu", "a")]

    assert statuses(execution) == {}


def test_a_cancelled_executions_chain_goes_no_further(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    lifecycle.terminate(execution.pk, by=None, reason=None)

    assert deliver_all(broker) == [("cpu", "a")]

    assert statuses(execution) == {}


def test_a_message_of_an_execution_that_is_gone_is_dropped(
    broker: redis.Redis,
) -> None:
    chain("a", "b").delete()

    assert deliver_all(broker) == [("cpu", "a")]


def test_a_message_of_a_newer_sender_is_understood(broker: redis.Redis) -> None:
    execution = chain("a")
    message = take(broker)
    assert message is not None

    assert deliver(message, priority=3) == "SUCCESS"

    assert now_of(execution).status == "completed"


# --- coming back ----------------------------------------------------------------------


@pytest.mark.usefixtures("tireless")
def test_a_step_that_is_tried_again_travels_with_the_rest_of_its_chain(
    broker: redis.Redis,
) -> None:
    same = role()
    fields = {"max_retries": 1, "retry_delay_ms": 50, "input_mapping": _once()}
    execution = launched(
        step("a", same), step("b", role("util.fail"), **fields), step("c", same)
    )

    assert deliver_next(broker) == "RETRY"

    (message,) = messages(broker)
    assert links_of(broker) == ["b", "c"]
    assert message.headers["eta"] is not None
    assert message.headers["timelimit"][0] == 360.0
    assert statuses(execution) == {"a": "completed", "b": "retrying"}

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert run_at(execution, "b").attempt == 2


def _once() -> dict[str, Any]:
    """Make the input of `util.fail` that fails the first attempt only."""
    return {"times": 1, "retryable": True}


def test_a_retry_without_a_delay_is_done_in_the_end(broker: redis.Redis) -> None:
    fields = {"max_retries": 3, "retry_delay_ms": 0}
    given = {"times": 3, "retryable": True}
    execution = launched(step("a", role("util.fail"), input_mapping=given, **fields))

    assert len(deliver_all(broker)) == 4

    assert now_of(execution).status == "completed"
    assert run_at(execution, "a").attempt == 4


def test_a_retry_of_a_group_member_still_joins(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        step("ok", same, parallel_group="g"),
        step(
            "again",
            role("util.fail"),
            parallel_group="g",
            max_retries=1,
            retry_delay_ms=0,
            input_mapping=_once(),
        ),
        step("after", same),
    )

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert run_at(execution, "again").attempt == 2


def test_a_message_comes_back_when_postgresql_is_away(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = chain("a", "b")
    message = take(broker)
    assert message is not None

    with postgres_away(monkeypatch):
        assert deliver(message) == "RETRY"

    assert links_of(broker) == ["a", "b"]
    assert statuses(execution) == {}
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_worker_without_lease_gives_messages_back_without_asking_the_database(
    broker: redis.Redis, this_worker: Worker
) -> None:
    execution = launched(step("a", role()), step("b", role()))
    message = take(broker)
    assert message is not None
    this_worker._give_up_lost_lease()
    assert not this_worker.may_work

    with statements() as asked:
        assert deliver(message) == "RETRY"

    assert asked == []
    assert this_worker._delivered == {}
    assert links_of(broker) == ["a", "b"]
    (back,) = messages(broker)
    assert back.queue == message.queue
    assert back.headers["eta"] is not None
    assert (statuses(execution), now_of(execution).epoch) == ({}, 1)


def test_a_worker_that_has_its_lease_again_takes_messages_again(
    broker: redis.Redis, this_worker: Worker
) -> None:
    execution = chain("a")
    this_worker._give_up_lost_lease()
    this_worker._beat()

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert run_at(execution, "a").attempt == 1


@pytest.mark.parametrize("name", [ADVANCE, JOIN])
def test_a_message_that_leads_on_comes_back_when_postgresql_is_away(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), step("after", same))
    broker.delete("cpu")
    finish(execution, "a", "b")
    current_app.tasks[name].apply_async(
        kwargs={
            "execution": str(execution.pk),
            "version": str(execution.version_id),
            "epoch": 1,
            "block": 1 if name == ADVANCE else 0,
        },
        queue="control",
    )
    message = take(broker)
    assert message is not None

    with postgres_away(monkeypatch):
        assert deliver(message) == "RETRY"
    deliver_all(broker)

    assert now_of(execution).status == "completed"


# --- groups -----------------------------------------------------------------------------


def test_a_group_is_joined_and_the_canvas_goes_on(broker: redis.Redis) -> None:
    same = role()
    execution = launched(step("a", same), *group("b", "c", of=same), step("d", same))

    delivered = deliver_all(broker)

    assert now_of(execution).status == "completed"
    # The join does the step behind the group itself: it is served by the same worker.
    assert [place for _, place in delivered] == ["a", "b", "c", 1]


@pytest.mark.usefixtures("tireless")
def test_a_walk_that_comes_to_a_group_sends_it_itself(broker: redis.Redis) -> None:
    same = role()
    execution = launched(step("a", same), step("b", same), *group("c", "d", of=same))

    deliver_next(broker)

    assert [m.place for m in messages(broker)] == ["c", "d"]
    assert all(m.chord is not None for m in messages(broker))
    assert now_of(execution).cursor == 2


def test_group_after_group_is_joined(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        *group("a", "b", of=same),
        *group("c", "d", of=same, name="h"),
        output="{{ output }}",
        given={"x": 1},
    )

    deliver_all(broker)

    now = now_of(execution)
    both = {"a": {"x": 1}, "b": {"x": 1}}
    assert (now.status, now.output) == ("completed", {"c": both, "d": both})


def test_a_part_that_is_delivered_twice_before_the_others_joins_nothing_early(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(*group("a", "b", "c", of=same), step("after", same))
    first = take(broker)
    assert first is not None

    for _ in range(3):
        deliver(first)

    assert [m.place for m in messages(broker)] == ["b", "c"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert told(execution).count("step.started after") == 1


def test_a_failure_in_a_group_ends_it_whatever_is_still_delivered(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(
        step("bad", role("util.fail"), parallel_group="g"),
        *group("b", "c", of=same),
        step("after", same),
    )

    deliver_all(broker)

    assert now_of(execution).status == "failed"
    assert statuses(execution) == {"bad": "failed"}


# --- invariants ---------------------------------------------------------------------------


def big(broker: redis.Redis) -> Execution:
    """Launch one of everything: chains, groups, skips, retries and failures."""
    same, failing = role(), role("util.fail")
    wait = role("time.delay", config={"arguments": {"ms": 0}})
    never = {"field": "context.a", "operator": "not_exists"}
    return launched(
        step("a", same),
        step("skipped", same, condition=never),
        step("b", wait, parallel_group="g"),
        step("c", same, parallel_group="g"),
        step("d", failing, parallel_group="g", on_error="continue"),
        step("e", failing, input_mapping=_once(), max_retries=1, retry_delay_ms=0),
        *group("f", "g", of=same, name="h", condition=never),
        step("h", wait),
        step("last", same, input_mapping={"errors": "{{ context.errors }}"}),
        output="{{ output.errors.d.type }}",
    )


def check_invariants(execution: Execution) -> None:
    events = told(execution)
    for path, run in {r.path: r for r in execution.step_runs.all()}.items():
        own = [event.split()[0] for event in events if event.split()[1:] == [path]]
        starts = own.count("step.started")
        terminal = [e for e in own if e not in ("step.started", "step.retrying")]
        assert len(terminal) == 1, own
        assert own[-1] == terminal[0], own
        assert starts == run.attempt, own
    assert Counter(events)["execution.started"] == 1
    assert events[-1] == f"execution.{now_of(execution).status}"


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("pace", ["tireless", "step_by_step"])
def test_everything_ends_well_however_often_each_message_is_delivered(
    request: pytest.FixtureRequest, broker: redis.Redis, times: int, pace: str
) -> None:
    request.getfixturevalue(pace)
    execution = big(broker)

    deliver_all(broker, times=times)

    now = now_of(execution)
    assert (now.status, now.output) == ("completed", "failed_on_purpose")
    check_invariants(execution)
    assert {p: s for p, s in statuses(execution).items() if s != "completed"} == {
        "skipped": "skipped",
        "d": "failed",
        "f": "skipped",
        "g": "skipped",
    }
    attempts = dict(execution.step_runs.values_list("path", "attempt"))
    assert attempts["e"] == 2
    assert all(n <= 1 for path, n in attempts.items() if path != "e")


@pytest.mark.parametrize("lost", range(9))
def test_losing_any_one_message_is_made_up_for(broker: redis.Redis, lost: int) -> None:
    execution = big(broker)
    for _ in range(lost):
        if message := take(broker):
            deliver(message)
    take(broker)
    deliver_all(broker)

    if now_of(execution).status != "completed":
        age(execution, 60)
        assert recovery.resend_lost(broker) == 1
        deliver_all(broker)

    assert now_of(execution).status == "completed"
    check_invariants(execution)


def test_a_delivery_is_noted_with_its_queue_and_time(
    broker: redis.Redis, this_worker: Worker
) -> None:
    chain("a")
    message = take(broker)
    assert message is not None

    deliver(message)

    assert this_worker._delivered == {"cpu": message.headers["published_at"]}


def test_nobody_claims_what_a_delivered_message_is_about(broker: redis.Redis) -> None:
    execution = chain("a")
    deliver_all(broker)

    assert try_claim(execution, "a") is None
