"""Convoys that part: handed over, cut off from the database, lost, and raced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection, transaction

from executions import control, database, failpoints, lifecycle, recovery
from executions.announce import MOVES
from executions.lifecycle import batches, settlements
from executions.models import Event, Execution
from executions.worker import patience, relief
from executions.worker.leases import Worker
from tests.integration.asking import outputs, statuses
from tests.integration.convoys import (
    NOT_1,
    Script,
    check,
    check_all_completed,
    end_of,
    ends,
    events_of,
    gathered,
    go,
    launched_many,
    outages,
    refusing,
    sent,
)
from tests.integration.engine import (
    DONE,
    age,
    at_once,
    claimed,
    deliver_all,
    end_lease,
    finish,
    lose_reply,
    messages,
    new_run,
    now_of,
    run_at,
    told,
    until,
    waiting_for_locks,
    worker,
)

pytest_plugins = ("tests.integration.stage", "tests.integration.company")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker", "broker", "patient", "relief_at_rest"),
]

Switch = Callable[[], None]


def check_told_once(executions: Sequence[Execution]) -> None:
    """Each step that ever began is told to have begun once."""
    for execution in executions:
        begun = [event for event in told(execution) if event.startswith("step.started")]
        assert len(begun) == len(set(begun)), begun


# --- who waits is handed over -------------------------------------------------------


def test_executions_that_have_begun_nothing_are_sent_as_if_nobody_had_had_them(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")

    gathered(executions).hand_over()

    for run in (run_at(execution, "a") for execution in executions):
        assert (run.status, run.attempt, run.fence) == ("pending", 0, 2)
        assert (run.worker, run.started_at) == (None, None)
    assert sent(broker) == [(n, "a") for n in range(4)]
    check_all_completed(executions, script, broker)


def test_handing_over_twice_sends_once(broker: redis.Redis, script: Script) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    convoy = gathered(executions)

    convoy.hand_over()
    convoy.hand_over()
    convoy.go()

    assert sent(broker) == [(n, "a") for n in range(4)]
    check_all_completed(executions, script, broker)


def test_a_worker_and_its_relief_that_hand_over_at_once_do_so_once(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    convoy = gathered(executions)

    assert at_once(convoy.hand_over, convoy.hand_over) == [None, None]

    assert sent(broker) == [(n, "a") for n in range(4)]
    check_all_completed(executions, script, broker)


@pytest.mark.parametrize("at", [f"{key}{n}" for key in "abc" for n in range(4)])
def test_a_convoy_may_be_handed_over_behind_any_step(
    broker: redis.Redis, script: Script, out_of_patience: Switch, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts[at] = out_of_patience

    go(executions)

    deliver_all(broker)
    check_told_once(executions)
    check_all_completed(executions, script, broker)


def test_what_is_done_is_recorded_and_what_is_claimed_is_put_back(
    broker: redis.Redis, script: Script, out_of_patience: Switch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts["b1"] = out_of_patience

    go(executions)

    both_done = {"a": "completed", "b": "completed"}
    put_back = {"a": "completed", "b": "pending"}
    assert [statuses(e) for e in executions] == [both_done] * 2 + [put_back] * 2
    assert sent(broker) == [(0, "c"), (1, "c"), (2, "b"), (3, "b")]
    assert events_of(executions[2], "b") == []


def test_who_is_done_when_the_convoy_parts_has_arrived(
    broker: redis.Redis, script: Script, out_of_patience: Switch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts["c1"] = out_of_patience

    go(executions)

    assert ends(executions) == ["completed", "completed", "running", "running"]
    assert sent(broker) == [(2, "c"), (3, "c")]


@pytest.mark.parametrize("at", ["a2", "a3"])
def test_an_execution_that_waits_before_a_step_to_skip_is_led_on(
    broker: redis.Redis, script: Script, out_of_patience: Switch, at: str
) -> None:
    executions = launched_many(*script.steps(b={"condition": NOT_1}))
    broker.delete("cpu")
    script.acts[at] = out_of_patience

    go(executions)

    assert (1, "b") in sent(broker)
    check_all_completed(executions, script, broker)
    assert statuses(executions[1])["b"] == "skipped"


@pytest.mark.parametrize("at", ["c2", "c3"])
def test_an_execution_whose_output_does_not_resolve_ends_when_it_is_handed_over(
    broker: redis.Redis, script: Script, out_of_patience: Switch, at: str
) -> None:
    more = {n: {"more": n} for n in (0, 2, 3)}
    given = "{{ context.input.more }}"
    executions = launched_many(*script.steps(), more=more, output=given)
    broker.delete("cpu")
    script.acts[at] = out_of_patience

    go(executions)
    deliver_all(broker)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    check(executions)


@pytest.mark.parametrize("at", ["1", "3"], ids=["at once", "a round later"])
@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_an_outcome_that_is_refused_ends_its_execution_when_it_is_handed_over(
    broker: redis.Redis, script: Script, out_of_patience: Switch, key: str, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts[key + at] = out_of_patience

    with refusing(end_of(executions[0], key)):
        go(executions)
    deliver_all(broker)

    assert ends(executions) == ["failed", "completed", "completed", "completed"]
    check(executions)
    check_told_once(executions)
    assert sorted(script.calls) == sorted(set(script.calls))


@pytest.mark.parametrize("at", ["a3", "b1"])
def test_who_waits_with_a_refused_one_is_told_of_once_when_handed_over(
    broker: redis.Redis, script: Script, out_of_patience: Switch, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts[at] = out_of_patience

    with refusing(end_of(executions[0], "a")):
        go(executions)
    deliver_all(broker)

    check_told_once(executions)
    assert ends(executions) == ["failed", "completed", "completed", "completed"]
    check(executions)


def test_an_end_that_cannot_be_recorded_at_all_keeps_nobody_from_being_sent(
    broker: redis.Redis, script: Script, out_of_patience: Switch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    script.acts["a3"] = out_of_patience
    whatever = (
        f"NEW.execution_id = '{executions[0].pk}' "
        "AND NEW.status IN ('completed', 'failed')"
    )

    with refusing(whatever):
        go(executions)
    deliver_all(broker)

    assert ends(executions[1:]) == ["completed"] * 3
    assert statuses(executions[0]) == {"a": "running"}
    check(executions)


@pytest.mark.parametrize("verb", [control.pause, control.cancel, control.terminate])
def test_an_execution_that_is_steered_before_it_is_handed_over_stays_steered(
    broker: redis.Redis, script: Script, verb: Callable[..., bool]
) -> None:
    executions = launched_many(*script.steps())
    convoy = gathered(executions)
    broker.delete("cpu")
    verb(executions[1].pk, by=None)

    convoy.hand_over()
    deliver_all(broker)

    assert [call for call in script.calls if call.endswith("1")] == []
    expected = "paused" if verb is control.pause else "cancelled"
    assert ends(executions) == ["completed", expected, "completed", "completed"]
    if verb is control.pause:
        control.resume(executions[1].pk, by=None)
        check_all_completed(executions, script, broker)


@pytest.mark.usefixtures("broker_away")
def test_what_is_handed_over_without_a_broker_is_sent_by_the_reconciler(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    gathered(executions).hand_over()
    assert messages(broker) == []
    monkeypatch.undo()

    for execution in executions:
        age(execution, 60)
    assert recovery.resend_lost(broker) == 4

    assert sorted(m.kwargs["path"] for m in messages(broker)) == ["a"] * 4


def test_what_is_handed_over_waits_for_a_worker_for_a_limited_time(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(a={"queue_timeout_ms": 60_000}))
    convoy = gathered(executions)
    Execution.objects.update(wake_at=None)

    convoy.hand_over()

    assert all(now_of(execution).wake_at for execution in executions)


# --- relieved by the thread ---------------------------------------------------------


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
def test_the_others_arrive_while_one_step_takes_its_time(
    broker: redis.Redis,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    seen: list[Any] = []

    def hold() -> str:
        until(lambda: len(sent(broker)) >= 2, "two single messages")
        at_once(lambda: deliver_all(broker))
        seen.extend([ends(executions), statuses(executions[1])[at[0]]])
        seen.append(events_of(executions[1], at[0]))
        return "long"

    def begin() -> str:
        monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
        return hold()

    script.acts[at] = begin

    go(executions)

    others = ["completed", "running", "completed", "completed"]
    assert seen == [others, "running", ["step.started"]]
    assert outputs(executions[1])[at[0]] == "long"
    check_told_once(executions)
    check_all_completed(executions, script, broker)


def test_the_long_one_goes_on_alone_to_its_end(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps(b={"condition": NOT_1}), script.step("d"))
    broker.delete("cpu")
    script.acts["a1"] = lambda: until(
        lambda: events_of(executions[1], "a") == ["step.started"], "the news of it"
    )
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)

    go(executions)

    ours = [path for n, path in sent(broker) if n == 1]
    assert ours in ([], ["b"], ["c"], ["d"])  # it goes as far as its time allows
    check_all_completed(executions, script, broker)
    assert events_of(executions[1], "b") == ["step.skipped"]
    check_told_once(executions)


def test_viewers_hear_of_who_has_arrived_while_one_step_takes_its_time(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    others = {str(executions[n].pk) for n in (0, 1, 2)}
    heard: set[str] = set()

    def hold() -> None:
        with broker.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(MOVES)
            monkeypatch.setattr(relief, "PATIENCE_S", 0.03)

            def hear() -> bool:
                if message := channel.get_message():
                    heard.update(message["data"].decode().split())
                return others <= heard

            until(hear, "news of the others")

    script.acts["c3"] = hold

    go(executions)

    assert ends(executions) == ["completed"] * 4
    assert others <= heard


@pytest.mark.parametrize("fields", [{}, {"on_error": "continue"}, {"max_retries": 1}])
def test_a_long_step_that_fails_in_the_end_began_once(
    broker: redis.Redis,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
) -> None:
    again = {"retry_delay_ms": 0, **fields}
    executions = launched_many(*script.steps(b=again))
    broker.delete("cpu")

    def fail_late() -> None:
        monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
        until(lambda: events_of(executions[1], "b"), "the news of it")
        raise LookupError

    script.acts["b1"] = fail_late

    go(executions)

    ended = "retrying" if "max_retries" in fields else "failed"
    assert events_of(executions[1], "b") == ["step.started", f"step.{ended}"]
    deliver_all(broker)
    last = "completed" if fields else "failed"
    assert ends(executions) == ["completed", last, "completed", "completed"]
    check(executions)


def test_the_last_step_of_a_convoy_is_told_of_while_it_runs(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(script.step("a"), size=1)
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
    script.acts["a0"] = lambda: bool(
        until(lambda: events_of(executions[0], "a"), "the news of it")
    )

    go(executions)

    run = run_at(executions[0], "a")
    (event,) = Event.objects.filter(type="step.started")
    assert event.created_at == run.started_at
    check_all_completed(executions, script, broker)


def test_whether_a_convoy_is_late_can_be_asked_while_its_step_ends(
    broker: redis.Redis, script: Script
) -> None:
    """The relief asks without a lock; what it looked at may be gone the next moment."""
    convoy = gathered(launched_many(*script.steps()))
    traveller, convoy.travellers = convoy.travellers[0], []

    class Ending(type(convoy)):  # type: ignore[misc]
        looks = 0

        @property
        def _at(self) -> Any:
            self.looks += 1
            return traveller if self.looks == 1 else None

        @_at.setter
        def _at(self, value: Any) -> None:
            pass

    assert Ending([]).is_late in (True, False)


# --- replies that are lost ----------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_first_claims_whose_reply_was_lost_are_recognised(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    lost = lose_reply(monkeypatch, batches, "ON CONFLICT (id) DO NOTHING", times=times)

    go(executions)

    assert len(lost) == times
    assert messages(broker) == []
    check_all_completed(executions, script, broker)


def test_first_claims_whose_reply_was_lost_with_the_lease_are_not_taken_for_own(
    broker: redis.Redis,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    this_worker: Worker,
) -> None:
    executions, fetch = launched_many(*script.steps()), database.fetch

    def losing(sql: Any, params: Any) -> Any:
        rows = fetch(sql, params)
        if "ON CONFLICT (id) DO NOTHING" in sql and this_worker.may_work:
            this_worker._renewed -= 600
            this_worker._give_up_lost_lease()
            raise OperationalError("the connection broke after the commit")
        return rows

    monkeypatch.setattr(batches, "fetch", losing)

    go(executions)

    assert script.calls == []
    assert this_worker.id not in {run_at(e, "a").worker for e in executions}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    "words", ["AND new.epoch = e.epoch", "SET status = 'completed', output"]
)
def test_ends_whose_reply_was_lost_are_recorded_once_and_lead_on(
    broker: redis.Redis,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    words: str,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    lost = lose_reply(monkeypatch, settlements, words, times=times)

    go(executions)

    assert len(lost) == times
    assert messages(broker) == []
    check_told_once(executions)
    check_all_completed(executions, script, broker)


def test_ends_whose_reply_was_lost_lead_on_where_nothing_was_claimed(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps(b={"condition": NOT_1}))
    broker.delete("cpu")
    lost = lose_reply(monkeypatch, settlements, "SELECT id FROM done")

    go(executions)

    assert lost
    check_told_once(executions)
    check_all_completed(executions, script, broker)


def test_a_next_step_that_somebody_else_begins_while_a_reply_is_lost_is_left_to_them(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions, fetch, theirs = launched_many(*script.steps()), database.fetch, worker()
    broker.delete("cpu")
    claims: list[Any] = []

    def losing(sql: Any, params: Any) -> Any:
        rows = fetch(sql, params)
        if "AND new.epoch = e.epoch" in sql and not claims:
            run = run_at(executions[1], "b")
            executions[1].step_runs.filter(pk=run.pk).delete()
            claims.append(claimed(executions[1], "b", by=theirs))
            raise OperationalError("the connection broke after the commit")
        return rows

    monkeypatch.setattr(settlements, "fetch", losing)

    go(executions)

    assert run_at(executions[1], "b").worker == theirs
    assert "b1" not in script.calls
    assert sent(broker) == [(1, "b")]
    assert lifecycle.settle(claims[0], DONE)
    deliver_all(broker)
    assert ends(executions) == ["completed"] * 4
    assert "b1" not in script.calls


def test_a_next_step_that_somebody_else_has_begun_is_left_to_them(
    broker: redis.Redis, script: Script
) -> None:
    executions, theirs = launched_many(*script.steps()), worker()
    broker.delete("cpu")
    claims: list[Any] = []
    script.acts["a1"] = lambda: claims.append(claimed(executions[1], "b", by=theirs))

    go(executions)

    assert ends(executions) == ["completed", "running", "completed", "completed"]
    assert sent(broker) == [(1, "b")]
    assert lifecycle.settle(claims[0], DONE)
    check_all_completed(executions, script, broker)


def test_executions_whose_putting_back_was_not_confirmed_are_sent_all_the_same(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    lost = lose_reply(monkeypatch, batches, "status = 'pending', attempt = 0")

    gathered(executions).hand_over()

    assert lost
    assert sent(broker) == [(n, "a") for n in range(4)]
    check_all_completed(executions, script, broker)


def test_a_relief_that_finds_no_database_hands_over_when_it_is_back(
    broker: redis.Redis, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    monkeypatch.setattr(relief, "PATIENCE_S", 0.03)
    with outages() as begin:

        def hold() -> None:
            begin()
            until(lambda: len(messages(broker)) >= 2, "two single messages")

        script.acts["a1"] = hold
        go(executions)

    check_told_once(executions)
    check_all_completed(executions, script, broker)


# --- workers that are gone, frozen, or without a lease ------------------------------


def recover(this_worker: Worker, executions: Sequence[Execution]) -> int:
    """Let this process's lease have ended, and the reconciler notice."""
    end_lease(this_worker.id)
    this_worker._give_up_lost_lease()
    freed = recovery.free_lost_steps()
    for execution in executions:
        age(execution, 1)
    recovery.wake_due()
    this_worker._beat()
    return freed


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_what_a_killed_process_had_claimed_is_recovered_and_arrives(
    broker: redis.Redis,
    script: Script,
    this_worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")

    def die() -> None:
        patience.let_go()
        connection.close()
        gone.setitem(connection.settings_dict, "HOST", "/nowhere")

    script.acts[f"{key}3"] = die
    with pytest.MonkeyPatch.context() as gone:
        gone.setattr(patience, "_process_ends", threading.Event())
        with pytest.raises(OperationalError):
            go(executions)

    assert {statuses(e)[key] for e in executions} == {"running"}
    assert recover(this_worker, executions) == 4
    deliver_all(broker)
    assert ends(executions) == ["completed"] * 4
    assert {(r.attempt, r.crashes) for r in (run_at(e, key) for e in executions)} == {
        (2, 1)
    }
    check(executions)


def test_a_redelivered_convoy_of_a_killed_process_takes_its_executions_over(
    broker: redis.Redis, script: Script
) -> None:
    executions, lost = launched_many(*script.steps()), worker()
    runs = [new_run(execution, "a", by=lost) for execution in executions]
    assert len(lifecycle.claim_many(runs, started=False)) == 4
    end_lease(lost)
    broker.delete("cpu")

    go(executions)
    deliver_all(broker)

    assert ends(executions) == ["completed"] * 4
    check(executions)


@pytest.mark.parametrize("point", ["after_claim", "before_commit", "after_commit"])
@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_a_fault_of_the_engine_itself_harms_no_execution_twice(
    broker: redis.Redis,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    key: str,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    planned = failpoints.parse(f"{point}@{key}:raise")
    monkeypatch.setattr(failpoints, "_planned", planned)

    go(executions)
    monkeypatch.setattr(failpoints, "_planned", [])
    deliver_all(broker)

    assert set(ends(executions)) <= {"completed", "failed"}
    check(executions)
    check_told_once(executions)


class Quitting:
    """A process that is ended between the work of one execution's step and its end."""

    point = "before_commit"

    def __init__(self, script: Script, call: str) -> None:
        self.script = script
        self.call = call

    def happens(self, path: str | None) -> bool:
        return self.script.calls[-1] == self.call

    def do(self) -> None:
        raise SystemExit


def test_who_is_torn_out_of_a_convoy_leaves_the_rest_to_others(
    broker: redis.Redis,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    this_worker: Worker,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_planned", [Quitting(script, "b1")])
        with pytest.raises(SystemExit):
            go(executions)

    assert [statuses(e)["b"] for e in executions] == [
        "completed",
        "running",
        "pending",
        "pending",
    ]
    assert sent(broker) == [(0, "c"), (2, "b"), (3, "b")]
    deliver_all(broker)
    assert ends(executions) == ["completed", "running", "completed", "completed"]
    assert recover(this_worker, executions[1:2]) == 1
    deliver_all(broker)
    assert ends(executions) == ["completed"] * 4
    assert script.calls.count("b1") == 2


def test_a_convoy_that_was_frozen_begins_nothing_that_others_have_done_meanwhile(
    broker: redis.Redis, script: Script, out_of_patience: Switch, this_worker: Worker
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")

    def freeze() -> None:
        end_lease(this_worker.id)
        for execution in executions:
            run = run_at(execution, "b")
            assert lifecycle.return_lost(run.pk, max_crashes=3, wake=False)
            finish(execution, "b")
        out_of_patience()

    script.acts["b1"] = freeze

    go(executions)

    assert [call for call in script.calls if "b" in call] == ["b0", "b1"]
    for execution in executions:
        assert outputs(execution)["b"] == {"n": 1}
        assert run_at(execution, "b").attempt == 2
    check(executions)


def test_a_claim_that_others_took_meanwhile_is_not_put_back(
    broker: redis.Redis, script: Script, this_worker: Worker
) -> None:
    executions = launched_many(*script.steps())
    convoy = gathered(executions)
    end_lease(this_worker.id)
    run = run_at(executions[1], "a")
    assert lifecycle.return_lost(run.pk, max_crashes=3, wake=False)
    theirs = claimed(executions[1], "a", by=worker())
    broker.delete("cpu")

    convoy.hand_over()

    assert run_at(executions[1], "a").status == "running"
    assert sent(broker) == [(0, "a"), (2, "a"), (3, "a")]
    assert lifecycle.settle(theirs, DONE)


def test_a_lease_that_is_lost_in_the_middle_stops_one_and_all_arrive(
    broker: redis.Redis,
    script: Script,
    this_worker: Worker,
    out_of_patience: Switch,
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("cpu")
    former = this_worker.id

    def lose() -> None:
        this_worker._renewed = monotonic() - 13  # of 15 seconds
        this_worker._give_up_lost_lease()
        out_of_patience()
        threading.Event().wait()

    script.acts["b1"] = lose

    go(executions)

    assert script.calls[-1] == "b1"
    assert run_at(executions[1], "b").worker == former
    assert [statuses(e)["b"] for e in executions] == [
        "completed",
        "running",
        "pending",
        "pending",
    ]
    this_worker._beat()
    deliver_all(broker)
    assert ends(executions) == ["completed", "running", "completed", "completed"]
    end_lease(former)
    assert recovery.free_lost_steps() == 1
    age(executions[1], 1)
    recovery.wake_due()
    deliver_all(broker)
    assert ends(executions) == ["completed"] * 4
    check(executions)


# --- races at the lock --------------------------------------------------------------


def held_while(
    executions: Sequence[Execution], *actions: Callable[[], Any]
) -> list[Any]:
    """Let actions run into the lock of all these executions, then let go of it."""
    results: list[Any] = []
    ids = [execution.pk for execution in executions]
    with transaction.atomic():
        locked = Execution.objects.select_for_update(no_key=True).order_by("id")
        assert len(locked.filter(pk__in=ids)) == len(ids)
        racing = threading.Thread(target=lambda: results.extend(at_once(*actions)))
        racing.start()
        waiting_for_locks(len(actions))
    racing.join(60)
    return results


def test_two_convoys_of_the_same_executions_in_opposite_order_share_them(
    broker: redis.Redis, script: Script
) -> None:
    executions = launched_many(*script.steps(), size=20)
    broker.delete("cpu")
    backwards = executions[::-1]

    results = held_while(
        executions[9:11], lambda: go(executions), lambda: go(backwards)
    )

    assert results == [None, None]
    check_all_completed(executions, script, broker)


@pytest.mark.parametrize("started", [False, True])
def test_of_many_who_claim_steps_of_the_same_executions_each_step_has_one(
    broker: redis.Redis, script: Script, started: bool
) -> None:
    executions = launched_many(*script.steps(), size=10)
    if started:
        for execution in executions:
            finish(execution, "a")
    path = "b" if started else "a"

    def claim(order: int) -> list[str]:
        by = worker()
        runs = [new_run(e, path, by=by) for e in executions[::order]]
        claims = lifecycle.claim_many(runs, started=started)
        return [str(one.run.execution_id) for one in claims]

    results = held_while(
        executions[4:6], *[lambda o=o: claim(o) for o in (1, -1, 1, -1)]
    )

    won = [one for claims in results for one in claims]
    assert sorted(won) == sorted(str(e.pk) for e in executions)


@pytest.mark.parametrize("verb", [control.pause, control.cancel, control.terminate])
@pytest.mark.parametrize("moment", ["claim", "settle", "complete", "put back"])
def test_a_convoy_and_whoever_steers_its_executions_get_past_each_other(
    broker: redis.Redis,
    script: Script,
    verb: Callable[..., bool],
    moment: str,
) -> None:
    steps = script.steps()[:1] if moment == "complete" else script.steps()
    executions = launched_many(*steps, size=6)
    broker.delete("cpu")
    steered = executions[2:4]

    def steer() -> list[bool]:
        return [verb(execution.pk, by=None) for execution in steered[::-1]]

    convoy = None if moment == "claim" else gathered(executions)

    def act() -> None:
        if convoy is None:
            go(executions)
        elif moment == "put back":
            convoy.hand_over()
        else:
            convoy.go()

    results = held_while(steered, act, steer)

    faults = [each for each in results if isinstance(each, Exception)]
    assert [each for each in faults if not isinstance(each, control.Refused)] == []
    deliver_all(broker)
    others = [e for e in executions if e not in steered]
    assert ends(others) == ["completed"] * 4
    for execution in steered:
        lifecycle.finish_cancel(execution.pk)
        if now_of(execution).status == "paused":
            control.resume(execution.pk, by=None)
            deliver_all(broker)
        assert now_of(execution).status in ("completed", "cancelled")
    check(executions)
    assert sorted(script.calls) == sorted(set(script.calls))
