"""Convoys: executions that walk abreast for one message, each with its own fate."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import current_app

from executions import canvas, control, database, lifecycle, recovery, resumption
from executions.lifecycle import batches
from executions.models import Event, Execution
from executions.signatures import RUN_STEP, RUN_TOGETHER
from tests.integration.asking import let_grace_pass, let_timer_fire, statuses
from tests.integration.convoys import (
    NOT_1,
    Script,
    check,
    check_all_completed,
    end_of,
    ends,
    events_of,
    go,
    launched_many,
    outages,
    refusing,
    sent,
)
from tests.integration.engine import (
    DONE,
    at_once,
    claimed,
    deliver,
    deliver_all,
    finish,
    group,
    messages,
    now_of,
    postgres_away,
    role,
    run_at,
    step,
    take,
    told,
    worker,
)
from tests.integration.statements import statements

pytest_plugins = ("tests.integration.stage", "tests.integration.company")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker", "broker", "patient", "relief_at_rest"),
]

PLAIN = [
    "execution.created",
    "execution.started",
    *(f"step.{what} {key}" for key in "abc" for what in ("started", "completed")),
    "execution.completed",
]
FAILING = {"b": {"on_error": "continue"}}


def no() -> None:
    raise LookupError("no such order")


def hang() -> None:
    threading.Event().wait()


# --- all goes well ------------------------------------------------------------------


def test_executions_that_are_launched_together_travel_and_arrive_together(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(), size=20, output="{{ context.c }}")
    travelling = messages(broker)
    assert {m.task for m in travelling} == {RUN_TOGETHER}
    listed = [one for m in travelling for one in m.kwargs["executions"]]
    assert listed == [str(e.pk) for e in executions]

    while message := take(broker):
        assert message.task == RUN_TOGETHER
        assert deliver(message) == "SUCCESS"

    assert [now_of(e).output for e in executions] == [f"c{n}" for n in range(20)]
    check_all_completed(executions, script, broker)


def test_each_execution_of_a_convoy_tells_its_story_in_order(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(), size=20)

    go(executions)

    for execution in executions:
        assert told(execution) == PLAIN
        events = Event.objects.filter(execution=execution).order_by("id")
        moments = list(events.values_list("created_at", flat=True))
        assert moments[2:] == sorted(moments[2:])
        began = events.filter(type="step.started")
        assert [event.data for event in began] == [{"attempt": 1}] * 3


def test_each_step_of_a_convoy_has_its_own_times_in_its_executions(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(), size=20)

    go(executions)

    for execution in map(now_of, executions):
        runs = [run_at(execution, key) for key in "abc"]
        moments = [at for run in runs for at in (run.started_at, run.finished_at)]
        assert [execution.started_at, *moments, execution.finished_at] == sorted(
            at for at in (execution.started_at, *moments, execution.finished_at) if at
        )
        assert {(run.attempt, run.fence) for run in runs} == {(1, 1)}
        assert {run.attempt_deadline for run in runs} == {None}


@pytest.mark.parametrize("size", [2, 25])
def test_a_convoy_of_three_steps_takes_five_statements_however_large(
    broker: redis.Redis, script: Script, size: int
) -> None:
    go(launched_many(*script.steps(), size=2))  # the lease is taken
    executions = launched_many(*script.steps(), size=size)

    with statements() as asked:
        go(executions)

    assert len(asked) == 5, asked
    assert ends(executions) == ["completed"] * size


def test_each_execution_has_its_own_input_output_and_exports(
    broker: redis.Redis,
) -> None:
    same = role()
    executions = launched_many(
        step("a", same, output_mapping={"own": "{{ output.n }}"}),
        step("b", same, input_mapping={"given": "{{ context.own }}"}),
        step("c", same),
        output={"last": "{{ output }}", "own": "{{ context.own }}"},
    )

    go(executions)

    assert [now_of(e).output for e in executions] == [
        {"last": {"given": str(n)}, "own": str(n)} for n in range(4)
    ]


def test_a_convoy_of_one_arrives(broker: redis.Redis, script: Script) -> None:
    executions = launched_many(*script.steps(), size=1)

    go(executions)

    assert told(executions[0]) == PLAIN


def test_executions_of_one_step_end_with_it(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(script.step("a"), output="{{ output }}")

    go(executions)

    assert [now_of(e).output for e in executions] == ["a0", "a1", "a2", "a3"]
    check_all_completed(executions, script, broker)


@pytest.mark.parametrize("times", [2, 3])
def test_nothing_is_done_twice_however_often_each_message_is_delivered(
    broker: redis.Redis, script: Script, times: int
) -> None:
    executions = launched_many(*script.steps(), size=4 * canvas.SPREAD)
    assert {m.task for m in messages(broker)} == {RUN_TOGETHER}

    deliver_all(broker, times=times)

    check_all_completed(executions, script, broker)


# --- one goes another way -----------------------------------------------------------


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
def test_a_failure_ends_its_own_execution_alone(
    broker: redis.Redis, script: Script, at: str
) -> None:
    executions = launched_many(*script.steps())
    script.acts[at] = no

    go(executions)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    assert told(executions[1])[-3:] == [
        f"step.started {at[0]}",
        f"step.failed {at[0]}",
        "execution.failed",
    ]
    check(executions)


def test_a_failure_that_an_execution_survives_keeps_it_with_the_others(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(**FAILING))
    script.acts["b1"] = no

    with statements() as asked:
        go(executions)

    assert len([sql for sql in asked if "UPDATE executions_steprun" in sql]) == 3
    assert statuses(executions[1]) == {
        "a": "completed",
        "b": "failed",
        "c": "completed",
    }
    check_all_completed(executions, script, broker)


@pytest.mark.parametrize("at", ["a", "b", "c"])
def test_an_execution_that_tries_a_step_again_goes_on_singly_after_the_delay(
    broker: redis.Redis, script: Script, at: str
) -> None:
    again = {"max_retries": 1, "retry_delay_ms": 30_000}
    executions = launched_many(*script.steps(**{at: again}))
    broker.delete("cpu")
    script.acts[f"{at}1"] = no

    go(executions)

    assert ends(executions) == ["completed", "running", "completed", "completed"]
    (message,) = messages(broker)
    assert (message.task, message.kwargs["path"]) == (RUN_STEP, at)
    assert message.kwargs["execution"] == str(executions[1].pk)
    assert message.headers["eta"] is not None
    assert events_of(executions[1], at) == ["step.started", "step.retrying"]
    check(executions)


def test_an_execution_that_tried_again_arrives_in_the_end(
    broker: redis.Redis, script: Script
) -> None:
    again = {"max_retries": 1, "retry_delay_ms": 0}
    executions = launched_many(*script.steps(b=again))
    broker.delete("cpu")
    script.acts["b1"] = no
    go(executions)

    deliver_all(broker)

    assert ends(executions) == ["completed"] * 4
    assert run_at(executions[1], "b").attempt == 2
    check(executions)


def test_a_retry_far_away_is_the_reconcilers_to_wake(
    broker: redis.Redis, script: Script
) -> None:
    again = {"max_retries": 1, "retry_delay_ms": 90_000}
    executions = launched_many(*script.steps(b=again))
    broker.delete("cpu")
    script.acts["b1"] = no

    go(executions)

    assert messages(broker) == []
    assert now_of(executions[1]).wake_at == run_at(executions[1], "b").retry_at


@pytest.mark.parametrize(
    ("on_error", "end"), [("fail", "failed"), ("continue", "completed")]
)
def test_a_step_that_takes_too_long_times_out_for_itself(
    broker: redis.Redis, script: Script, on_error: str, end: str
) -> None:
    tight = {"timeout_ms": 1000, "on_error": on_error}
    executions = launched_many(*script.steps(a={"timeout_ms": 1000}, b=tight, c=tight))
    script.acts["b1"] = hang

    go(executions)
    deliver_all(broker)  # they have been together for too long

    assert run_at(executions[1], "b").status == "timed_out"
    assert ends(executions) == ["completed", end, "completed", "completed"]
    check(executions)


def test_an_execution_whose_time_is_over_leaves_the_others_alone(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(), timeout_ms=1200)
    script.acts["a3"] = hang

    go(executions)
    for execution in executions:
        lifecycle.time_out(execution.pk)
    deliver_all(broker)

    assert set(ends(executions)) == {"timed_out"}  # all of them waited for it
    assert script.calls == ["a0", "a1", "a2", "a3"]
    check(executions)


def test_an_output_that_cannot_be_stored_fails_its_execution_alone(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    script.acts["b1"] = object

    go(executions)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    error = run_at(executions[1], "b").error
    assert error
    assert error["type"] == "not_json"


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, MemoryError])
def test_a_step_that_wants_to_end_its_process_only_fails(
    broker: redis.Redis, script: Script, ending: type[BaseException]
) -> None:
    def leave() -> None:
        raise ending("Enough.")

    executions = launched_many(*script.steps())
    script.acts["b1"] = leave

    go(executions)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    check(executions)


@pytest.mark.parametrize("key", ["b", "c"])
def test_an_execution_whose_next_step_is_skipped_joins_the_others_again(
    broker: redis.Redis, script: Script, key: str
) -> None:
    executions = launched_many(
        *script.steps(**{key: {"condition": NOT_1}}), script.step("d")
    )
    broker.delete("cpu")

    go(executions)

    assert messages(broker) == []
    assert events_of(executions[1], key) == ["step.skipped"]
    assert events_of(executions[1], "d") == ["step.started", "step.completed"]
    check_all_completed(executions, script, broker)


def test_an_execution_whose_first_step_is_skipped_goes_its_own_way(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(a={"condition": NOT_1}))
    broker.delete("cpu")

    go(executions)

    assert sent(broker) == [(1, "a")]
    check_all_completed(executions, script, broker)
    assert statuses(executions[1])["a"] == "skipped"


def test_an_execution_that_has_nothing_more_to_do_ends_early(
    broker: redis.Redis, script: Script
) -> None:
    skipped = {"condition": NOT_1}
    executions = launched_many(*script.steps(b=skipped, c=skipped))
    broker.delete("cpu")
    seen: list[str] = []
    script.acts["c2"] = lambda: seen.extend(ends(executions))

    go(executions)

    assert seen[1] == "completed"
    check_all_completed(executions, script, broker)


@pytest.mark.parametrize("key", ["a", "b", "c"])
@pytest.mark.parametrize(
    ("on_error", "end"), [("fail", "failed"), ("continue", "completed")]
)
def test_an_input_that_does_not_resolve_concerns_its_execution_alone(
    broker: redis.Redis, script: Script, key: str, on_error: str, end: str
) -> None:
    picky = {"input_mapping": "{{ context.input.more }}", "on_error": on_error}
    more = {n: {"more": f"{key}{n}"} for n in (0, 2, 3)}
    executions = launched_many(*script.steps(**{key: picky}), more=more)
    broker.delete("cpu")

    go(executions)
    deliver_all(broker)

    assert ends(executions) == ["completed", end, "completed", "completed"]
    error = run_at(executions[1], key).error
    assert error
    assert error["type"] == "template_error"
    check(executions)


def test_an_output_template_that_does_not_resolve_fails_its_execution_alone(
    broker: redis.Redis, script: Script
) -> None:
    more = {n: {"more": n} for n in (0, 2, 3)}
    executions = launched_many(
        *script.steps(), more=more, output="{{ context.input.more }}"
    )

    go(executions)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    assert set(statuses(executions[1]).values()) == {"completed"}
    check(executions)


@pytest.mark.parametrize("on_error", ["fail", "continue"])
@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_an_outcome_that_the_database_refuses_fails_its_execution_alone(
    broker: redis.Redis, script: Script, key: str, on_error: str
) -> None:
    executions = launched_many(*script.steps(**{key: {"on_error": on_error}}))

    with refusing(end_of(executions[1], key)):
        go(executions)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    error = run_at(executions[1], key).error
    assert error
    assert error["type"] == "internal_error"
    assert "not this one" in error["message"]
    check(executions)


def test_a_beginning_that_the_database_refuses_keeps_nobody_else_back(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    others = [executions[n] for n in (0, 2, 3)]

    with refusing(f"NEW.execution_id = '{executions[1].pk}'"):
        go(executions)
        assert (1, "a") in sent(broker)
        while message := take(broker):
            deliver(message)

    assert ends(others) == ["completed"] * 3
    assert now_of(executions[1]).status == "pending"
    check(executions)


def test_a_next_step_that_the_database_refuses_ends_its_execution_alone(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())

    with refusing(f"NEW.execution_id = '{executions[1].pk}' AND NEW.path = 'b'"):
        go(executions)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    check(executions)


# --- all leave the convoy -----------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"at_most_once": True},
        {"timeout_ms": 500},
        {"timeout_ms": 7_200_000},
        {"role": "time.delay", "input_mapping": {"ms": 0}},
    ],
    ids=["at most once", "a tight limit", "a longer limit", "another pool"],
)
def test_a_step_that_nobody_may_wait_with_is_left_to_others(
    broker: redis.Redis, script: Script, fields: dict[str, Any]
) -> None:
    special = dict(fields)
    if function := special.pop("role", None):
        special["role_name"] = role(function)
    b = {**script.step("b"), **special}
    executions = launched_many(script.step("a"), b, script.step("c"))
    broker.delete("cpu")

    go(executions)

    assert [statuses(e) for e in executions] == [{"a": "completed"}] * 4
    assert sent(broker) == [(n, "b") for n in range(4)]
    check_all_completed(executions, script, broker)


def test_executions_that_come_to_a_group_go_on_with_it_singly(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(
        script.step("a"), *group("m0", "m1", of=role()), script.step("c")
    )
    broker.delete("cpu")

    go(executions)

    assert [statuses(e) for e in executions] == [{"a": "completed"}] * 4
    check_all_completed(executions, script, broker)


def test_executions_that_have_walked_together_for_long_go_on_singly(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.worker.departure.LONGEST_S", -1.0)
    executions = launched_many(*script.steps())
    broker.delete("cpu")

    go(executions)

    assert sent(broker) == [(n, "b") for n in range(4)]
    check_all_completed(executions, script, broker)


# --- executions that do not set out -------------------------------------------------


def terminated(execution: Execution) -> None:
    control.terminate(execution.pk, by=None)


def cancelled(execution: Execution) -> None:
    control.cancel(execution.pk, by=None)


def paused(execution: Execution) -> None:
    control.pause(execution.pk, by=None)


def deleted(execution: Execution) -> None:
    Execution.objects.filter(pk=execution.pk).delete()


def sent_again(execution: Execution) -> None:
    assert resumption.redispatch(execution.pk)


VERBS: list[Callable[[Execution], None]] = [
    terminated,
    cancelled,
    paused,
    deleted,
    sent_again,
]


def check_others_completed(
    executions: list[Execution], which: int, broker: redis.Redis
) -> None:
    """One of the executions was steered; it comes to its own end, if to any."""
    deliver_all(broker)
    others = [e for n, e in enumerate(executions) if n != which]
    assert ends(others) == ["completed"] * 3
    check(others)
    for steered in Execution.objects.filter(pk=executions[which].pk):
        if steered.status == "paused":
            control.resume(steered.pk, by=None)
        if steered.cancel_request and steered.status == "running":
            let_grace_pass(steered)
            recovery.wake_due()
        deliver_all(broker)
        expected = (
            "cancelled" if steered.error or steered.cancel_request else "completed"
        )
        assert now_of(steered).status == expected
        check([steered])


@pytest.mark.parametrize("verb", VERBS)
def test_an_execution_that_was_steered_before_its_message_came_does_not_set_out(
    broker: redis.Redis, script: Script, verb: Callable[[Execution], None]
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    verb(executions[1])

    go(executions)

    assert sorted(script.calls) == sorted(f"{k}{n}" for k in "abc" for n in (0, 2, 3))
    check_others_completed(executions, 1, broker)


@pytest.mark.parametrize("verb", VERBS)
def test_an_execution_that_is_steered_between_look_and_claim_does_not_set_out(
    broker: redis.Redis,
    script: Script,
    verb: Callable[[Execution], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executions, fetch = launched_many(*script.steps()), database.fetch
    broker.delete("cpu")
    left = [verb]

    def steered_before(sql: Any, params: Any) -> Any:
        if left and "pace" in sql:
            left.pop()(executions[1])
        return fetch(sql, params)

    monkeypatch.setattr(batches, "fetch", steered_before)

    go(executions)

    assert "a1" not in script.calls
    check_others_completed(executions, 1, broker)


@pytest.mark.parametrize("epoch", [0, 2])
def test_executions_of_another_epoch_do_not_set_out(
    broker: redis.Redis, script: Script, epoch: int
) -> None:
    executions = launched_many(*script.steps())

    go(executions, epoch=epoch)

    assert script.calls == []
    assert [told(e) for e in executions] == [["execution.created"]] * 4


def test_a_convoy_that_finds_an_execution_being_cancelled_ends_it(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    theirs = claimed(executions[1], "a", by=worker())
    control.cancel(executions[1].pk, by=None)
    assert lifecycle.settle(theirs, DONE)

    go(executions)

    assert ends(executions) == ["completed", "cancelled", "completed", "completed"]


def test_executions_that_are_all_gone_are_no_convoy(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    Execution.objects.all().delete()

    go(executions)

    assert script.calls == []
    assert not Event.objects.exists()


def test_an_execution_that_another_worker_has_begun_is_asked_for_singly(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    theirs = claimed(executions[1], "a", by=worker())
    broker.delete("cpu")

    go(executions)

    assert sent(broker) == [(1, "a")]
    assert "a1" not in script.calls
    assert lifecycle.settle(theirs, DONE)
    check_all_completed(executions, script, broker)


def test_an_execution_that_another_begins_between_look_and_claim_is_left_to_it(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions, fetch, theirs = launched_many(*script.steps()), database.fetch, worker()
    broker.delete("cpu")

    def claimed_before(sql: Any, params: Any) -> Any:
        if "pace" in sql:
            claimed(executions[1], "a", by=theirs)
        return fetch(sql, params)

    monkeypatch.setattr(batches, "fetch", claimed_before)

    go(executions)

    assert ends(executions) == ["completed", "running", "completed", "completed"]
    assert run_at(executions[1], "a").worker == theirs
    assert messages(broker) == []


def test_an_execution_that_is_past_its_first_step_goes_on_singly(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    finish(executions[1], "a")
    broker.delete("cpu")

    go(executions)

    check_all_completed(executions, script, broker)
    assert "a1" not in script.calls


def test_a_convoy_that_is_delivered_again_when_it_has_arrived_does_nothing(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    go(executions)
    before = [told(e) for e in executions]
    broker.delete("cpu")

    go(executions)

    assert [told(e) for e in executions] == before
    assert messages(broker) == []


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
def test_a_convoy_that_is_delivered_again_while_it_walks_begins_nothing_twice(
    broker: redis.Redis, script: Script, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    results: list[Any] = []
    script.acts[at] = lambda: results.extend(at_once(lambda: go(executions)))

    go(executions)

    assert results == [None]
    check_all_completed(executions, script, broker)


def test_a_convoy_comes_back_as_it_is_when_postgresql_is_away(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps(), size=4 * canvas.SPREAD)
    message = take(broker)
    assert message
    broker.delete("cpu")

    with postgres_away(monkeypatch):
        assert deliver(message) == "RETRY"

    assert {tuple(told(e)) for e in executions} == {("execution.created",)}
    (back,) = messages(broker)
    assert (back.task, back.kwargs) == (RUN_TOGETHER, message.kwargs)
    deliver_all(broker)
    travelled = [e for e in executions if str(e.pk) in message.kwargs["executions"]]
    check_all_completed(travelled, script, broker)


def test_executions_that_are_launched_without_a_broker_are_sent_by_the_reconciler(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
        patch.setattr(current_app.amqp, "_producer_pool", None)
        executions = launched_many(*script.steps(), size=4 * canvas.SPREAD)
    assert messages(broker) == []

    for execution in executions:
        assert resumption.redispatch(execution.pk)
    deliver_all(broker)

    assert set(ends(executions)) == {"completed"}
    check(executions)


# --- steered on the way -------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1, 2], ids=["done", "at hand", "to come"])
@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
@pytest.mark.parametrize("verb", VERBS)
def test_an_execution_that_is_steered_on_the_way_leaves_the_others_alone(
    broker: redis.Redis,
    script: Script,
    verb: Callable[[Execution], None],
    at: str,
    which: int,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts[at] = lambda: verb(executions[which])

    go(executions)

    assert sorted(script.calls) == sorted(set(script.calls))
    check_others_completed(executions, which, broker)


def test_a_terminated_executions_step_is_told_of_as_cancelled_and_nothing_else(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    script.acts["b1"] = lambda: terminated(executions[1])

    go(executions)

    assert told(executions[1])[-2:] == ["step.cancelled b", "execution.cancelled"]
    assert statuses(executions[1]) == {"a": "completed", "b": "cancelled"}


def test_a_paused_execution_rests_behind_its_step_until_it_is_resumed(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts["b1"] = lambda: paused(executions[1])

    go(executions)

    assert statuses(executions[1]) == {"a": "completed", "b": "completed"}
    assert messages(broker) == []
    control.resume(executions[1].pk, by=None)
    check_all_completed(executions, script, broker)


def test_postgresql_may_be_away_between_two_rounds(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")

    with outages() as begin:
        script.acts["b3"] = begin
        go(executions)

    assert [told(e) for e in executions] == [PLAIN] * 4
    check_all_completed(executions, script, broker)


def test_postgresql_may_be_away_while_a_walk_reads_by_itself(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An execution whose step is skipped asks singly, and comes back for an answer."""
    executions = launched_many(*script.steps(b={"condition": NOT_1}))
    broker.delete("cpu")
    skip, left = lifecycle.skip, [1]

    def away_once(run: Any) -> bool:
        if left:
            left.pop()
            raise database.UNREACHABLE[0]("gone")
        return skip(run)

    monkeypatch.setattr(lifecycle, "skip", away_once)

    go(executions)

    assert ends(executions) == ["completed", "running", "completed", "completed"]
    assert sent(broker) == [(1, "b")]
    check_all_completed(executions, script, broker)


def test_a_step_that_was_put_off_for_a_timer_is_woken_and_arrives(
    broker: redis.Redis, script: Script
) -> None:
    again = {"max_retries": 1, "retry_delay_ms": 90_000}
    executions = launched_many(*script.steps(b=again))
    script.acts["b1"] = no
    go(executions)
    broker.delete("cpu")

    executions[1].step_runs.filter(path="b").update(
        retry_at=now_of(executions[1]).started_at
    )
    let_timer_fire(executions[1])
    assert recovery.wake_due() == 1
    deliver_all(broker)

    assert ends(executions) == ["completed"] * 4
    check(executions)
