"""Recovery: what is lost is sent again, and what is only slow is left alone."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
import redis
from django.db.models.functions import Now
from redis.backoff import NoBackoff
from redis.retry import Retry

from executions import lifecycle, recovery, resumption
from executions.models import Execution, StepRun, Worker
from executions.signatures import JOIN
from tests.integration.engine import (
    DONE,
    FAILED,
    QUEUES,
    age,
    at_once,
    chain,
    claimed,
    end_lease,
    finish,
    group,
    launched,
    messages,
    new_run,
    now_of,
    role,
    run_at,
    step,
    told,
    try_claim,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)

LONG_S = 60.0


def lose_messages(broker: redis.Redis) -> None:
    broker.delete(*QUEUES)


def group_then(*keys: str, after: str = "after") -> Execution:
    same = role()
    return launched(*group(*keys, of=same), step(after, same))


# --- messages that were lost ----------------------------------------------------------


def test_an_execution_whose_first_message_was_lost_is_sent_again(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 1

    (message,) = messages(broker)
    assert (message.queue, message.place) == ("cpu.recovery", "a")
    assert message.kwargs["epoch"] == now_of(execution).epoch == 2
    assert {link["options"]["queue"] for link in message.chain} == {"cpu.recovery"}


def test_an_execution_goes_on_with_the_first_step_that_is_not_settled(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b", "c")
    finish(execution, "a")
    lose_messages(broker)
    age(execution, LONG_S)

    recovery.resend_lost(broker)

    (message,) = messages(broker)
    assert message.place == "b"
    assert [link["kwargs"]["path"] for link in message.chain] == ["c"]
    assert now_of(execution).cursor == 1


def test_of_a_group_only_the_members_that_are_left_are_sent_again(
    broker: redis.Redis,
) -> None:
    execution = group_then("a", "b", "c")
    finish(execution, "b")
    lose_messages(broker)
    age(execution, LONG_S)

    recovery.resend_lost(broker)

    sent = messages(broker)
    assert {(m.queue, m.place) for m in sent} == {
        ("cpu.recovery", "a"),
        ("cpu.recovery", "c"),
    }
    assert all(m.chord is not None and m.chord["task"] == JOIN for m in sent)


def test_a_join_that_never_fired_is_made_up_for(broker: redis.Redis) -> None:
    execution = group_then("a", "b")
    finish(execution, "a", "b")
    lose_messages(broker)
    age(execution, LONG_S)

    recovery.resend_lost(broker)

    assert [message.place for message in messages(broker)] == ["after"]


def test_a_last_join_that_never_fired_completes_the_execution(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), output="{{ output.a.n }}")
    finish(execution, "a", "b")
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 1

    now = now_of(execution)
    assert (now.status, now.output) == ("completed", 1)
    assert messages(broker) == []


def test_a_last_join_whose_output_does_not_resolve_fails_the_execution(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(*group("a", of=same), output="{{ context.a.missing }}")
    finish(execution, "a")
    lose_messages(broker)
    age(execution, LONG_S)

    recovery.resend_lost(broker)

    error = now_of(execution).error
    assert error is not None
    assert (now_of(execution).status, error["type"]) == ("failed", "template_error")


def test_messages_of_the_old_epoch_are_dead_on_arrival(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    lose_messages(broker)
    age(execution, LONG_S)
    recovery.resend_lost(broker)

    assert try_claim(execution, "a", epoch=1) is None
    assert try_claim(execution, "a", epoch=2) is not None


def test_a_step_that_waits_for_a_lost_message_after_a_crash_is_sent_again(
    broker: redis.Redis,
) -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 1
    assert [message.place for message in messages(broker)] == ["a"]


def test_a_step_whose_worker_is_unknown_is_sent_again(broker: redis.Redis) -> None:
    # Its worker's row was buried before it claimed the step.
    execution = chain("a")
    claimed(execution, "a", by=uuid4())
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 1


def test_every_lost_execution_is_found(broker: redis.Redis) -> None:
    for execution in [chain("a") for _ in range(5)]:
        age(execution, LONG_S)
    lose_messages(broker)

    assert recovery.resend_lost(broker) == 5
    assert len(messages(broker, "cpu.recovery")) == 5


def test_a_lost_message_is_noticed_behind_a_backlog(broker: redis.Redis) -> None:
    # A message that was published later to the same queue has been delivered.
    lost = chain("a")
    lose_messages(broker)
    age(lost, LONG_S)
    chain("a")
    worker(delivered={"cpu": time.time() - LONG_S / 2})

    assert recovery.resend_lost(broker) == 1
    assert [m.kwargs["execution"] for m in messages(broker, "cpu.recovery")] == [
        str(lost.pk)
    ]


# --- executions that are only slow -----------------------------------------------------


def test_a_message_that_still_waits_is_not_sent_again(broker: redis.Redis) -> None:
    execution = chain("a")
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 0
    assert (now_of(execution).epoch, len(messages(broker))) == (1, 1)


def test_a_backlog_of_many_is_left_alone(broker: redis.Redis) -> None:
    executions = [chain("a") for _ in range(20)]
    for execution in executions:
        age(execution, LONG_S)
    worker(delivered={"cpu": time.time() - 2 * LONG_S})

    assert recovery.resend_lost(broker) == 0
    assert len(messages(broker)) == 20


def test_a_backlog_in_one_queue_keeps_nothing_from_waiting_in_it(
    broker: redis.Redis,
) -> None:
    # Later messages went to the other queue: they prove nothing about this one.
    execution = chain("a")
    age(execution, LONG_S)
    worker(delivered={"io": time.time(), "control": time.time()})

    assert recovery.resend_lost(broker) == 0


def test_an_execution_is_left_alone_for_a_while(broker: redis.Redis) -> None:
    execution = chain("a")
    lose_messages(broker)
    age(execution, 3)

    assert recovery.resend_lost(broker) == 0


def test_an_execution_is_left_alone_while_a_live_worker_has_a_step(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    claimed(execution, "a", by=worker())
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 0


def test_an_execution_is_left_alone_while_a_step_has_just_ended(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    age(execution, LONG_S)
    lose_messages(broker)
    finish(execution, "a")

    assert recovery.resend_lost(broker) == 0


def test_an_execution_is_left_alone_while_a_retry_is_not_due(
    broker: redis.Redis,
) -> None:
    execution = chain("a")
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=3600, timer=True)
    lose_messages(broker)
    Execution.objects.update(dispatched_at=Now() - timedelta(minutes=5))

    assert recovery.resend_lost(broker) == 0


@pytest.mark.parametrize("status", ["waiting", "paused"])
def test_an_execution_that_waits_on_purpose_is_left_alone(
    broker: redis.Redis, status: str
) -> None:
    execution = chain("a")
    lose_messages(broker)
    age(execution, LONG_S, status=status)

    assert recovery.resend_lost(broker) == 0


def test_an_execution_that_has_ended_is_left_alone(broker: redis.Redis) -> None:
    execution = chain("a")
    lifecycle.terminate(execution.pk, by=None, reason=None)
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 0


def test_sending_again_and_again_waits_longer_each_time(broker: redis.Redis) -> None:
    execution = chain("a")
    waits = []
    for wait in (9, 11, 19, 21, 39, 41):
        lose_messages(broker)
        Execution.objects.update(dispatched_at=Now() - timedelta(seconds=wait))
        waits.append(recovery.resend_lost(broker))

    assert waits == [0, 1, 0, 1, 0, 1]
    assert now_of(execution).epoch == 4


def test_progress_ends_the_longer_waits(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    Execution.objects.update(resends=9, dispatched_at=Now() - timedelta(seconds=60))
    finish(execution, "a")
    execution.step_runs.update(
        started_at=Now() - timedelta(seconds=40),
        finished_at=Now() - timedelta(seconds=40),
    )
    lose_messages(broker)

    assert recovery.resend_lost(broker) == 1


def test_a_broker_that_cannot_say_what_it_has_stops_the_search() -> None:
    execution = chain("a")
    age(execution, LONG_S)
    nowhere = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))

    with pytest.raises(redis.RedisError):
        recovery.resend_lost(nowhere)

    assert now_of(execution).epoch == 1
    nowhere.close()


@pytest.mark.usefixtures("broker_away")
def test_a_broker_that_goes_away_meanwhile_loses_nothing(broker: redis.Redis) -> None:
    execution = chain("a")
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 1

    now = now_of(execution)
    assert (now.status, now.epoch) == ("pending", 2)


# --- many reconcilers ------------------------------------------------------------------


def test_two_dispatchers_at_once_send_once(broker: redis.Redis) -> None:
    execution = chain("a")
    lose_messages(broker)
    epoch = partial(lifecycle.next_epoch, execution.pk, epoch=1, block=0)

    came = at_once(epoch, epoch, epoch)

    assert sorted(map(str, came)) == ["2", "None", "None"]


def test_redispatch_of_an_unknown_execution_does_nothing(broker: redis.Redis) -> None:
    assert not resumption.redispatch(uuid4())
    assert messages(broker) == []


def test_redispatch_of_an_ended_execution_does_nothing(broker: redis.Redis) -> None:
    execution = chain("a")
    lose_messages(broker)
    lifecycle.terminate(execution.pk, by=None, reason=None)

    assert not resumption.redispatch(execution.pk)
    assert messages(broker) == []


def test_the_canvas_moves_on_once_however_many_ask(broker: redis.Redis) -> None:
    execution = group_then("a", "b")
    finish(execution, "a", "b")
    ask = partial(lifecycle.advance, execution.pk, epoch=1, block=1)

    came = at_once(*[ask] * 6)

    assert [one for one in came if one is not None] == [execution.role_pins]


@pytest.mark.parametrize(("epoch", "block"), [(0, 1), (2, 1), (1, 0)])
def test_the_canvas_moves_neither_back_nor_for_another_epoch(
    broker: redis.Redis, epoch: int, block: int
) -> None:
    execution = group_then("a")
    finish(execution, "a")

    assert lifecycle.advance(execution.pk, epoch=epoch, block=block) is None
    assert now_of(execution).cursor == 0


# --- workers that were lost ---------------------------------------------------------------


def test_the_steps_of_a_lost_worker_are_freed_and_sent_again(
    broker: redis.Redis,
) -> None:
    execution, lost = chain("a", "b"), worker()
    claimed(execution, "a", by=lost)
    lose_messages(broker)
    end_lease(lost)

    assert recovery.free_lost_steps() == 1
    assert recovery.wake_due() == 1

    (message,) = messages(broker)
    assert (message.queue, message.place) == ("cpu.recovery", "a")
    assert message.kwargs["epoch"] == 1
    assert run_at(execution, "a").status == "retrying"
    assert not Worker.objects.exists()
    again = claimed(execution, "a")
    assert (again.attempt, again.tries) == (2, 1)


def test_the_steps_of_a_live_worker_are_its_own(broker: redis.Redis) -> None:
    execution = chain("a")
    claim = claimed(execution, "a", by=worker())
    lost = worker()
    end_lease(lost)

    assert recovery.free_lost_steps() == 0
    assert lifecycle.settle(claim, DONE)
    assert not Worker.objects.filter(pk=lost).exists()


def test_a_lost_worker_of_a_group_takes_only_its_own_steps_with_it(
    broker: redis.Redis,
) -> None:
    execution = group_then("done", "lost", "alive")
    lost, alive = worker(), worker()
    finish(execution, "done")
    claimed(execution, "lost", by=lost)
    claimed(execution, "alive", by=alive)
    lose_messages(broker)
    end_lease(lost)

    recovery.free_lost_steps()
    recovery.wake_due()

    assert [message.place for message in messages(broker)] == ["lost"]
    statuses = dict(execution.step_runs.values_list("path", "status"))
    assert statuses == {"done": "completed", "lost": "retrying", "alive": "running"}


def test_many_steps_of_one_lost_worker_are_all_freed(broker: redis.Redis) -> None:
    lost = worker()
    keys = [f"m{n}" for n in range(130)]
    execution = launched(*group(*keys, of=role()))
    for key in keys:
        claimed(execution, key, by=lost)
    end_lease(lost)

    assert recovery.free_lost_steps() == 130


def test_a_step_that_took_too_many_workers_with_it_fails(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    for _ in range(4):
        lost = worker()
        claimed(execution, "a", by=lost)
        end_lease(lost)
        assert recovery.free_lost_steps() == 1

    now = now_of(execution)
    assert now.error is not None
    assert (now.status, now.error["type"]) == ("failed", "crashed")
    assert run_at(execution, "a").attempt == 4


def test_with_on_error_continue_the_canvas_goes_on_after_the_crashes(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(step("a", same, on_error="continue"), step("b", same))
    for _ in range(4):
        lost = worker()
        claimed(execution, "a", by=lost)
        end_lease(lost)
        recovery.free_lost_steps()
    lose_messages(broker)

    recovery.wake_due()

    assert [message.place for message in messages(broker)] == ["b"]
    assert now_of(execution).status == "running"


def test_without_a_lost_worker_nothing_is_freed() -> None:
    assert recovery.free_lost_steps() == 0


# --- timers -----------------------------------------------------------------------------


def test_a_retry_that_is_due_is_sent_once(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=0, timer=True)
    lose_messages(broker)

    assert recovery.wake_due() == 1
    assert recovery.wake_due() == 0

    (message,) = messages(broker)
    assert (message.place, message.kwargs["epoch"]) == ("a", 1)
    assert try_claim(execution, "a") is not None


def test_a_fault_in_one_execution_keeps_no_other_waiting(
    broker: redis.Redis,
) -> None:
    broken, sound = chain("a"), chain("b")
    for execution, key in ((broken, "a"), (sound, "b")):
        run = claimed(execution, key)
        lifecycle.schedule_retry(run, FAILED, delay_s=0, timer=True)
    Execution.objects.filter(pk=broken.pk).update(role_pins={})
    lose_messages(broker)

    assert recovery.wake_due() == 1

    assert [message.place for message in messages(broker)] == ["b"]
    put_off = now_of(broken).wake_at
    assert put_off is not None
    assert put_off > now_of(sound).created_at


def test_a_retry_that_is_not_due_is_left_alone(broker: redis.Redis) -> None:
    execution = chain("a")
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=3600, timer=True)
    lose_messages(broker)

    assert recovery.wake_due() == 0
    assert messages(broker) == []


def test_of_two_retries_in_a_group_the_later_one_keeps_its_timer(
    broker: redis.Redis,
) -> None:
    execution = group_then("soon", "late")
    lifecycle.schedule_retry(
        claimed(execution, "late"), FAILED, delay_s=3600, timer=True
    )
    lifecycle.schedule_retry(claimed(execution, "soon"), FAILED, delay_s=0, timer=True)
    lose_messages(broker)

    recovery.wake_due()

    assert [message.place for message in messages(broker)] == ["soon"]
    assert now_of(execution).wake_at == run_at(execution, "late").retry_at


def test_a_timer_keeps_the_deadline_in_mind(broker: redis.Redis) -> None:
    execution = chain("a", timeout_ms=600_000)
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=0, timer=True)

    recovery.wake_due()

    now = now_of(execution)
    assert now.wake_at == now.deadline_at


def test_an_execution_past_its_deadline_is_ended(broker: redis.Redis) -> None:
    execution = chain("a", timeout_ms=60_000)
    claimed(execution, "a")
    past = Now() - timedelta(seconds=1)
    Execution.objects.update(deadline_at=past, wake_at=past)

    assert recovery.wake_due() == 1
    assert now_of(execution).status == "timed_out"
    assert recovery.wake_due() == 0


def test_an_execution_that_was_never_started_times_out_too(
    broker: redis.Redis,
) -> None:
    execution = chain("a", timeout_ms=60_000)
    past = Now() - timedelta(seconds=1)
    Execution.objects.update(deadline_at=past, wake_at=past)

    recovery.wake_due()

    assert told(execution) == ["execution.created", "execution.timed_out"]


def test_a_timer_of_an_ended_execution_wakes_nobody(broker: redis.Redis) -> None:
    execution = chain("a")
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=0, timer=True)
    lifecycle.terminate(execution.pk, by=None, reason=None)
    lose_messages(broker)

    assert recovery.wake_due() == 0
    assert messages(broker) == []


def test_a_step_settled_from_outside_lets_the_canvas_go_on(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(step("a", same, on_error="continue"), step("b", same))
    lifecycle.settle(claimed(execution, "a"), FAILED, wake=True)
    lose_messages(broker)

    recovery.wake_due()

    assert [message.place for message in messages(broker)] == ["b"]
    assert now_of(execution).cursor == 1


def test_the_last_step_settled_from_outside_completes_the_execution(
    broker: redis.Redis,
) -> None:
    execution = launched(step("a", role(), on_error="continue"))
    lifecycle.settle(claimed(execution, "a"), FAILED, wake=True)

    recovery.wake_due()

    assert now_of(execution).status == "completed"


def test_a_member_settled_from_outside_leaves_the_others_to_their_messages(
    broker: redis.Redis,
) -> None:
    execution = group_then("a", "b")
    lifecycle.settle(claimed(execution, "a"), FAILED, wake=True)
    claimed(execution, "b", by=worker())
    lose_messages(broker)

    recovery.wake_due()

    assert messages(broker) == []
    assert now_of(execution).status == "running"


def test_a_reconciler_that_dies_after_taking_a_timer_loses_nothing(
    broker: redis.Redis,
) -> None:
    # The timer is taken, and nothing was sent.
    execution = chain("a")
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=0, timer=True)
    Execution.objects.update(wake_at=None)
    lose_messages(broker)
    age(execution, LONG_S)

    assert recovery.resend_lost(broker) == 1
    assert [message.place for message in messages(broker)] == ["a"]


def test_two_reconcilers_take_a_timer_once(broker: redis.Redis) -> None:
    execution = chain("a")
    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=0, timer=True)
    lose_messages(broker)

    came = at_once(recovery.wake_due, recovery.wake_due)

    assert sorted(map(str, came)) == ["0", "1"]
    assert len(messages(broker)) == 1


def test_a_lost_member_is_sent_again_although_another_waits_long_for_its_retry(
    broker: redis.Redis,
) -> None:
    execution = group_then("retrying", "lost")
    lifecycle.schedule_retry(
        claimed(execution, "retrying"), FAILED, delay_s=3 * 3600, timer=True
    )
    lose_messages(broker)
    Execution.objects.update(dispatched_at=Now() - timedelta(minutes=5))
    execution.step_runs.update(started_at=Now() - timedelta(minutes=5))

    recovery.resend_lost(broker)

    assert "lost" in [message.place for message in messages(broker)]
    now = now_of(execution)
    assert lifecycle.claim(new_run(now, "lost"), execution_started=True)
    assert now.wake_at == run_at(execution, "retrying").retry_at


# --- steps that their workers do not know of ------------------------------------------


def test_a_step_that_outlived_its_deadline_on_a_living_worker_is_freed() -> None:
    execution = chain("a", "b")
    claimed(execution, "a", by=worker(), timeout_ms=1000)
    long_ago = Now() - timedelta(seconds=61)
    StepRun.objects.filter(execution=execution).update(attempt_deadline=long_ago)

    assert recovery.free_overrun_steps() == 1

    assert run_at(execution, "a").status == "retrying"


def test_a_step_just_past_its_deadline_is_its_workers_to_end() -> None:
    execution = chain("a", "b")
    claimed(execution, "a", by=worker(), timeout_ms=1000)
    just_now = Now() - timedelta(seconds=10)
    StepRun.objects.filter(execution=execution).update(attempt_deadline=just_now)

    assert recovery.free_overrun_steps() == 0


def test_after_an_outage_workers_get_a_beat_to_take_their_leases_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = chain("a", "b")
    gone = worker(lease_s=-5)
    claimed(execution, "a", by=gone)
    monkeypatch.setattr(recovery, "AFTER_OUTAGE", timedelta(hours=1))

    assert recovery.free_lost_steps() == 0

    assert run_at(execution, "a").status == "running"
    assert Worker.objects.filter(pk=gone).exists()
