"""Why it does not move: one answer for whatever the facts are."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.states import (
    ACTIVE_EXECUTION,
    TERMINAL_EXECUTION,
    TERMINAL_STEP,
    ExecutionStatus,
    StepStatus,
)
from executions.waiting import (
    PATIENCE,
    ExecutionFacts,
    Fleet,
    Kind,
    Owner,
    Served,
    StepFacts,
    WaitingOn,
    of_execution,
    of_step,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=5), NOW + timedelta(hours=1)
JUST_NOW, LONG_AGO = NOW - timedelta(seconds=5), NOW - timedelta(hours=1)
WORKER = uuid4()
ALIVE = Owner(host="box", pid=7, lease_until=SOON)
GONE = Owner(host="box", pid=7, lease_until=JUST_NOW)
FREE = Served(workers=1, slots=4, busy=1)
REQUEST = {"by": "ada", "reason": "not needed", "at": "2026-05-04T11:59:55.5+00:00"}


def fleet(**fields: Any) -> Fleet:
    queues = {"cpu": FREE, "io": FREE, "control": FREE}
    return Fleet(**{"now": NOW, "queues": queues, **fields})


def execution(status: str = "running", **fields: Any) -> ExecutionFacts:
    return ExecutionFacts(status=ExecutionStatus(status), **fields)


def step(status: str | None = None, **fields: Any) -> StepFacts:
    given = {"key": "a", "since": JUST_NOW, "queues": ("io",), **fields}
    return StepFacts(status=StepStatus(status) if status else None, **given)


def running(**fields: Any) -> StepFacts:
    given = {"worker": WORKER, "attempt": 2, "attempt_deadline": LATER, **fields}
    return step("running", **given)


def answer(
    facts: StepFacts, of: ExecutionFacts | None = None, by: Fleet | None = None
) -> WaitingOn:
    found = of_step(facts, of or execution(), by or fleet())
    assert found is not None
    return found


def answer_of(
    *steps: StepFacts, of: ExecutionFacts | None = None, by: Fleet | None = None
) -> WaitingOn:
    found = of_execution(of or execution(), steps, by or fleet())
    assert found is not None
    return found


# --- each kind ------------------------------------------------------------------------


def test_a_step_that_a_live_worker_runs_is_at_work_until_its_deadline() -> None:
    found = answer(running(), by=fleet(owners={WORKER: ALIVE}))

    assert asdict(found) == {
        "kind": "work",
        "step_key": "a",
        "since": JUST_NOW,
        "expected": LATER,
        "detail": "Worker box:7 runs step 'a', attempt 2; its lease lasts until "
        "2026-05-04 12:00:05 UTC.",
        "help": None,
    }


def test_a_worker_whose_lease_ended_has_lost_its_step() -> None:
    found = answer(running(), by=fleet(owners={WORKER: GONE}))

    assert (found.kind, found.since) == (Kind.LOST_WORKER, JUST_NOW)
    assert found.detail == (
        "Worker box:7 that ran step 'a' is lost: its lease ended at "
        "2026-05-04 11:59:55 UTC."
    )
    assert found.help is not None
    assert "in seconds" in found.help


@pytest.mark.parametrize("worker", [WORKER, None])
def test_a_worker_that_is_forgotten_has_lost_its_step(worker: Any) -> None:
    found = answer(running(worker=worker))

    assert (found.kind, found.since) == (Kind.LOST_WORKER, JUST_NOW)
    assert found.detail.startswith("The worker that ran step 'a' is lost")


def test_a_lease_that_ends_now_has_ended() -> None:
    ends_now = Owner(host="box", pid=7, lease_until=NOW)

    found = answer(running(), by=fleet(owners={WORKER: ends_now}))

    assert found.kind is Kind.LOST_WORKER


def test_nobody_frees_the_step_of_a_lost_worker_without_a_reconciler() -> None:
    found = answer(running(), by=fleet(reconciler=False))

    assert found.help is not None
    assert "Start `manage.py reconcile`" in found.help


def test_a_step_that_needs_attention_says_why() -> None:
    found = answer(step("needs_attention", error="The worker\n was lost."))

    assert (found.kind, found.expected) == (Kind.NEEDS_ATTENTION, None)
    assert found.detail == (
        "Somebody has to decide about step 'a' (The worker was lost.)."
    )
    assert found.help == "Settle it: complete it, fail it, or have it run again."


def test_a_step_that_waits_is_there_for_it() -> None:
    found = answer(step("waiting", retry_at=LATER))

    assert (found.kind, found.expected, found.help) == (Kind.WAIT, LATER, None)


def test_a_step_that_waits_for_an_event_names_it() -> None:
    listening = step("waiting", event="order.paid", retry_at=LATER)
    answer = of_step(listening, execution("waiting"), fleet())
    assert answer is not None
    assert (answer.kind, answer.since, answer.expected) == (Kind.WAIT, JUST_NOW, LATER)
    assert "'order.paid'" in answer.detail
    assert answer.help is not None
    assert '"order.paid"' in answer.help


def test_a_retry_waits_for_its_timer() -> None:
    retrying = step("retrying", attempt=2, retry_at=LATER, error="503 from the shop")

    found = answer(retrying)

    assert (found.kind, found.expected, found.help) == (Kind.RETRY_TIMER, LATER, None)
    assert found.detail == (
        "Attempt 2 of step 'a' failed (503 from the shop); the next one begins at "
        "2026-05-04 13:00:00 UTC."
    )


def test_a_timer_without_a_reconciler_says_so() -> None:
    found = answer(step("retrying", retry_at=LATER), by=fleet(reconciler=False))

    assert found.kind is Kind.RETRY_TIMER
    assert found.help is not None
    assert "Start `manage.py reconcile`" in found.help


def test_an_error_that_goes_on_and_on_is_cut() -> None:
    found = answer(step("retrying", retry_at=LATER, error="x" * 10_000))

    assert len(found.detail) < 500


@pytest.mark.parametrize("status", [None, "pending", "retrying"])
def test_a_step_whose_turn_it_is_lies_in_a_queue(status: str | None) -> None:
    found = answer(step(status))

    assert (found.kind, found.since, found.expected) == (Kind.QUEUE, JUST_NOW, None)
    assert found.detail == (
        "It is the turn of step 'a', in the queue 'io': 1 live worker with 4 slots, "
        "1 of them busy."
    )
    assert found.help is not None
    assert found.help.startswith("Nothing yet: slots are free.")


def test_a_queue_says_that_all_slots_are_busy() -> None:
    full = Served(workers=2, slots=4, busy=4)

    found = answer(step(queues=("cpu",)), by=fleet(queues={"cpu": full}))

    assert "2 live workers with 4 slots, none of them free" in found.detail
    assert found.help == "More workers would help: the Procfile's worker-cpu."


def test_a_retry_that_is_due_is_in_its_queue_since_then() -> None:
    found = answer(step("retrying", since=LONG_AGO, retry_at=JUST_NOW))

    assert (found.kind, found.since) == (Kind.QUEUE, JUST_NOW)


def test_a_queue_that_cannot_be_told_is_a_queue_nevertheless() -> None:
    found = answer(step(queues=()))

    assert (found.kind, found.help) == (Kind.QUEUE, None)


@pytest.mark.parametrize(
    ("queue", "cure"),
    [
        ("io", "Start the Procfile's worker-io, or another worker with -Q io."),
        ("cpu", "Start the Procfile's worker-cpu, or another worker with -Q cpu."),
        ("gpu", "Start a worker with -Q gpu."),
    ],
)
def test_a_queue_that_nobody_serves_is_named_with_its_process(
    queue: str, cure: str
) -> None:
    found = answer(step(queues=(queue,)), by=fleet(queues={"control": FREE}))

    assert (found.kind, found.help) == (Kind.QUEUE_WITHOUT_WORKER, cure)
    assert found.detail == (
        f"It is the turn of step 'a', but no live worker serves {queue!r}."
    )


def test_a_group_does_not_begin_while_nobody_serves_the_queue_on_its_way() -> None:
    found = answer(step(queues=("control", "io")), by=fleet(queues={"io": FREE}))

    assert found.kind is Kind.QUEUE_WITHOUT_WORKER
    assert "'control'" in found.detail
    assert found.help is not None
    assert "worker-cpu" in found.help


@pytest.mark.parametrize(
    ("began", "kind"),
    [
        (LONG_AGO, Kind.RECONCILER),
        (NOW - PATIENCE, Kind.QUEUE),
        (JUST_NOW, Kind.QUEUE),
        (None, Kind.QUEUE),
    ],
)
def test_a_reconciler_is_missed_when_nothing_moves_for_a_while(
    began: datetime | None, kind: Kind
) -> None:
    found = answer(step(since=began), by=fleet(reconciler=False))

    assert found.kind is kind
    assert answer(step(since=began)).kind is Kind.QUEUE


@pytest.mark.parametrize("reconciler", [True, False])
def test_a_timer_that_does_not_fire_is_the_reconcilers(reconciler: bool) -> None:
    late = execution(wake_at=LONG_AGO)

    found = answer_of(step(), of=late, by=fleet(reconciler=reconciler))

    assert (found.kind, found.since, found.step_key) == (
        Kind.RECONCILER,
        LONG_AGO,
        None,
    )
    assert "2026-05-04 11:00:00 UTC" in found.detail
    assert found.help is not None
    assert ("look at its log" in found.help) is reconciler
    assert ("Start `manage.py reconcile`" in found.help) is not reconciler


@pytest.mark.parametrize("wake_at", [None, LATER, JUST_NOW, NOW - PATIENCE])
def test_a_timer_may_be_a_little_late(wake_at: datetime | None) -> None:
    assert answer_of(step(), of=execution(wake_at=wake_at)).kind is Kind.QUEUE


def test_a_paused_execution_waits_to_be_resumed() -> None:
    found = answer_of(step(), of=execution("paused", paused_at=LONG_AGO))

    assert (found.kind, found.since, found.help) == (
        Kind.PAUSED,
        LONG_AGO,
        "Resume it.",
    )
    assert found.step_key is None


def test_a_cancelled_execution_lets_its_steps_go_first() -> None:
    asked = execution(cancel_request=REQUEST, wake_at=SOON)

    found = answer_of(running(), of=asked, by=fleet(owners={WORKER: ALIVE}))

    assert (found.kind, found.expected) == (Kind.CANCELLING, SOON)
    assert found.since == datetime(2026, 5, 4, 11, 59, 55, 500_000, UTC)
    assert found.detail == (
        "ada asked for its end (not needed); running steps are let go first."
    )


@pytest.mark.parametrize("asked", [{}, {"at": None}, {"at": "x", "by": None}])
def test_a_request_without_particulars_is_one(asked: dict[str, Any]) -> None:
    found = answer_of(running(), of=execution(cancel_request=asked))

    assert (found.kind, found.since) == (Kind.CANCELLING, None)
    assert found.detail.startswith("Somebody asked for its end;")


def test_an_end_that_is_not_recorded_yet_is_waited_for() -> None:
    found = answer_of(step(key=None, queues=("control",)))

    assert (found.kind, found.step_key) == (Kind.QUEUE, None)
    assert "the turn of the execution's end" in found.detail


# --- what holds a whole execution, and its steps --------------------------------------


@pytest.mark.parametrize("status", [None, "pending", "retrying", "waiting"])
def test_steps_that_have_not_begun_are_paused_with_their_execution(
    status: str | None,
) -> None:
    facts = step(status, retry_at=LATER if status == "retrying" else None)

    assert answer(facts, execution("paused")).kind is Kind.PAUSED
    asked = execution(cancel_request=REQUEST)
    assert answer(facts, asked).kind is Kind.CANCELLING


def test_a_step_that_runs_is_at_work_whatever_becomes_of_its_execution() -> None:
    here = fleet(owners={WORKER: ALIVE})

    for facts in (execution("paused"), execution(cancel_request=REQUEST)):
        assert answer(running(), facts, here).kind is Kind.WORK


def test_what_is_to_be_cancelled_needs_neither_attention_nor_to_be_resumed() -> None:
    asked = execution("paused", paused_at=LONG_AGO, cancel_request=REQUEST)

    assert answer_of(step("needs_attention"), of=asked).kind is Kind.CANCELLING
    assert answer(step("needs_attention"), asked).kind is Kind.CANCELLING


@pytest.mark.parametrize("status", sorted(TERMINAL_EXECUTION))
def test_what_is_over_waits_for_nothing(status: str) -> None:
    over = execution(status, wake_at=LONG_AGO, cancel_request=REQUEST)

    assert of_execution(over, [running()], fleet()) is None
    assert of_step(running(), over, fleet()) is None


@pytest.mark.parametrize("status", sorted(TERMINAL_STEP))
def test_a_step_that_is_over_waits_for_nothing(status: str) -> None:
    assert of_step(step(status), execution(), fleet()) is None


# --- which of several -----------------------------------------------------------------

BY_KIND: dict[Kind, StepFacts] = {
    Kind.NEEDS_ATTENTION: step("needs_attention"),
    Kind.QUEUE_WITHOUT_WORKER: step(queues=("gpu",)),
    Kind.LOST_WORKER: running(worker=uuid4()),
    Kind.WAIT: step("waiting"),
    Kind.RETRY_TIMER: step("retrying", retry_at=LATER),
    Kind.QUEUE: step(),
    Kind.WORK: running(),
}
ORDER = [
    "needs_attention",
    "paused",
    "cancelling",
    "queue_without_worker",
    "lost_worker",
    "reconciler",
    "retry_timer",
    "queue",
    "work",
]


def test_the_order_is_by_who_is_needed_and_how_long_it_takes() -> None:
    assert [kind for kind in Kind if kind in ORDER] == ORDER


@given(st.lists(st.sampled_from(list(BY_KIND)), min_size=1))
def test_of_several_steps_the_most_urgent_is_shown(kinds: list[Kind]) -> None:
    here = fleet(owners={WORKER: ALIVE})

    found = answer_of(*(BY_KIND[kind] for kind in kinds), by=here)

    assert found.kind is min(kinds, key=list(Kind).index)


@pytest.mark.parametrize(
    ("kind", "facts", "shown"),
    [
        (Kind.NEEDS_ATTENTION, execution("paused"), Kind.NEEDS_ATTENTION),
        (Kind.QUEUE_WITHOUT_WORKER, execution("paused"), Kind.PAUSED),
        (Kind.WORK, execution("paused"), Kind.PAUSED),
        (Kind.LOST_WORKER, execution(cancel_request=REQUEST), Kind.CANCELLING),
        (Kind.LOST_WORKER, execution(wake_at=LONG_AGO), Kind.LOST_WORKER),
        (Kind.RETRY_TIMER, execution(wake_at=LONG_AGO), Kind.RECONCILER),
        (Kind.WORK, execution(wake_at=LONG_AGO), Kind.RECONCILER),
    ],
)
def test_what_concerns_all_steps_takes_its_place_among_them(
    kind: Kind, facts: ExecutionFacts, shown: Kind
) -> None:
    here = fleet(owners={WORKER: ALIVE})

    assert answer_of(BY_KIND[kind], of=facts, by=here).kind is shown


def test_of_two_timers_the_later_one_is_shown() -> None:
    soon = step("retrying", key="soon", retry_at=SOON)
    later = step("retrying", key="later", retry_at=LATER)

    assert answer_of(soon, later).step_key == "later"


def test_what_has_no_end_comes_before_what_has_one() -> None:
    ends, goes_on = running(key="ends"), running(key="on", attempt_deadline=None)

    found = answer_of(ends, goes_on, by=fleet(owners={WORKER: ALIVE}))

    assert found.step_key == "on"


# --- whatever the facts are -----------------------------------------------------------

moments = st.none() | st.datetimes(timezones=st.just(UTC))
any_step = st.builds(
    StepFacts,
    key=st.none() | st.text(max_size=5),
    status=st.none() | st.sampled_from(sorted(set(StepStatus) - TERMINAL_STEP)),
    since=moments,
    queues=st.lists(st.sampled_from(["cpu", "io", "gpu"]), max_size=2).map(tuple),
    worker=st.none() | st.just(WORKER),
    attempt_deadline=moments,
    retry_at=moments,
    error=st.none() | st.text(),
)
any_execution = st.builds(
    ExecutionFacts,
    status=st.sampled_from(sorted(ACTIVE_EXECUTION)),
    paused_at=moments,
    cancel_request=st.none() | st.just(REQUEST) | st.dictionaries(st.text(), st.text()),
    wake_at=moments,
)


@given(any_execution, st.lists(any_step, min_size=1), st.booleans())
def test_what_is_not_over_always_waits_for_something(
    facts: ExecutionFacts, steps: list[StepFacts], reconciler: bool
) -> None:
    here = fleet(owners={WORKER: ALIVE}, reconciler=reconciler)

    whole = answer_of(*steps, of=facts, by=here)

    assert whole.detail.endswith(".")
    assert all(answer(each, facts, here).detail for each in steps)
