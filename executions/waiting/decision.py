"""Decide what an execution, or one of its steps, waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from executions.states import ExecutionStatus, StepStatus
from executions.waiting import words
from executions.waiting.facts import (
    ExecutionFacts,
    Fleet,
    Kind,
    Owner,
    StepFacts,
    WaitingOn,
)

# How late something may be before a reconciler is missed.
PATIENCE = timedelta(seconds=15)
_NEVER = datetime.max.replace(tzinfo=UTC)


def of_execution(
    execution: ExecutionFacts, steps: Iterable[StepFacts], fleet: Fleet
) -> WaitingOn | None:
    """Say what an execution waits for, given its steps that are not settled."""
    if execution.is_over:
        return None
    answers = [
        _held(execution, None, fleet),
        _overdue(execution, fleet),
        *(of_step(step, execution, fleet) for step in steps),
    ]
    return min((answer for answer in answers if answer), key=_urgency, default=None)


def of_step(
    step: StepFacts, execution: ExecutionFacts, fleet: Fleet
) -> WaitingOn | None:
    """Say what a step waits for; None once it or its execution is over."""
    decide = _BY_STATUS.get(step.status)
    if execution.is_over or decide is None:
        return None
    if execution.cancel_request is not None and decide is not _running:
        return _held(execution, step, fleet)
    return decide(step, execution, fleet)


def _urgency(answer: WaitingOn) -> tuple[int, float]:
    """Sort by kind; of one kind, first what takes longest or has no end at all."""
    return answer.kind.rank, -(answer.expected or _NEVER).timestamp()


def _answer(
    kind: Kind,
    step: StepFacts | None,
    detail: str,
    cure: str | None = None,
    *,
    since: datetime | None,
    expected: datetime | None = None,
) -> WaitingOn:
    return WaitingOn(
        kind=kind,
        step_key=step.key if step else None,
        since=since,
        expected=expected,
        detail=detail,
        help=cure,
    )


# --- what holds the whole execution ---------------------------------------------------


def _held(
    execution: ExecutionFacts, step: StepFacts | None, fleet: Fleet
) -> WaitingOn | None:
    """Say why nothing more is started; to be cancelled is to be paused no longer."""
    request = execution.cancel_request
    if request is not None:
        return _answer(
            Kind.CANCELLING,
            step,
            words.cancellation(request),
            None if fleet.reconciler else words.reconciler_wanted("which ends it"),
            since=_moment(request.get("at")),
            expected=execution.wake_at,
        )
    if execution.status != ExecutionStatus.PAUSED:
        return None
    detail = "The execution is paused: what runs may end, nothing else starts."
    return _answer(Kind.PAUSED, step, detail, "Resume it.", since=execution.paused_at)


def _overdue(execution: ExecutionFacts, fleet: Fleet) -> WaitingOn | None:
    due = execution.wake_at
    if due is None or due >= fleet.now - PATIENCE:
        return None
    detail = f"A timer was due at {words.clock(due)}, and nobody has looked at it."
    cure = words.reconciler_wanted("which does")
    if fleet.reconciler:
        cure = words.RECONCILER_IS_LATE
    return _answer(Kind.RECONCILER, None, detail, cure, since=due)


def _moment(text: object) -> datetime | None:
    """Read a time as PostgreSQL writes it into JSON."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# --- steps that have begun ------------------------------------------------------------


def _running(step: StepFacts, _: ExecutionFacts, fleet: Fleet) -> WaitingOn:
    owner = fleet.owners.get(step.worker) if step.worker else None
    if owner is None or owner.lease_until <= fleet.now:
        return _lost(step, owner, fleet)
    detail = (
        f"Worker {owner} runs {step}, attempt {step.attempt}; its lease lasts until "
        f"{words.clock(owner.lease_until)}."
    )
    expected = step.attempt_deadline
    return _answer(Kind.WORK, step, detail, since=step.since, expected=expected)


def _lost(step: StepFacts, owner: Owner | None, fleet: Fleet) -> WaitingOn:
    who = f"Worker {owner}" if owner else "The worker"
    ended = f" at {words.clock(owner.lease_until)}" if owner else ""
    detail = f"{who} that ran {step} is lost: its lease ended{ended}."
    cure = words.reconciler_wanted("which frees the step within seconds")
    if fleet.reconciler:
        cure = f"The reconciler frees it in seconds. {words.RECONCILER_IS_LATE}"
    since = owner.lease_until if owner else step.since
    return _answer(Kind.LOST_WORKER, step, detail, cure, since=since)


def _needs_attention(step: StepFacts, _: ExecutionFacts, fleet: Fleet) -> WaitingOn:
    detail = f"Somebody has to decide about {step}{words.because(step.error)}."
    cure = "Settle it: complete it, fail it, or have it run again."
    return _answer(Kind.NEEDS_ATTENTION, step, detail, cure, since=step.since)


def _waits(step: StepFacts, execution: ExecutionFacts, fleet: Fleet) -> WaitingOn:
    return (
        _held(execution, step, fleet)
        or _asks(step)
        or _listens(step)
        or _parked(step)
        or _goes_by(step)
    )


def _asks(step: StepFacts) -> WaitingOn | None:
    if (asked := step.asked) is None:
        return None
    who = words.people(asked)
    return _answer(
        Kind.APPROVAL,
        step,
        f"An answer to {step} is due from {who}.",
        words.ANSWER_IT,
        since=asked.since,
        expected=asked.until,
    )


def _listens(step: StepFacts) -> WaitingOn | None:
    if (name := step.event) is None:
        return None
    detail, cure = words.event(name, str(step)), words.post_event(name)
    until = step.retry_at
    return _answer(Kind.WAIT, step, detail, cure, since=step.since, expected=until)


def _parked(step: StepFacts) -> WaitingOn | None:
    if step.parked not in _PARKED:
        return None
    kind, cure = _PARKED[step.parked]
    detail = f"{step} waits: {words.cut(step.detail)}"
    detail = f"{detail[0].upper()}{detail[1:]}"
    expected = step.retry_at
    return _answer(kind, step, detail, cure, since=step.since, expected=expected)


def _goes_by(step: StepFacts) -> WaitingOn:
    detail = f"It is what {step} is there for: to wait."
    until = step.retry_at or step.attempt_deadline
    return _answer(Kind.WAIT, step, detail, since=step.since, expected=until)


# --- steps that are to begin ----------------------------------------------------------


def _turn(step: StepFacts, execution: ExecutionFacts, fleet: Fleet) -> WaitingOn:
    return (
        _held(execution, step, fleet)
        or _timer(step, fleet)
        or _unserved(step, fleet)
        or _unwatched(step, fleet)
        or _queued(step, fleet)
    )


def _timer(step: StepFacts, fleet: Fleet) -> WaitingOn | None:
    if step.retry_at is None or step.retry_at <= fleet.now:
        return None
    begins = f"the next one begins at {words.clock(step.retry_at)}"
    failed = f"Attempt {step.attempt} of {step} failed{words.because(step.error)}"
    cure = words.reconciler_wanted("without which only short delays end")
    return _answer(
        Kind.RETRY_TIMER,
        step,
        f"{failed}; {begins}.",
        None if fleet.reconciler else cure,
        since=step.since,
        expected=step.retry_at,
    )


def _unserved(step: StepFacts, fleet: Fleet) -> WaitingOn | None:
    missing = [queue for queue in step.queues if queue not in fleet.queues]
    if not missing:
        return None
    detail = f"It is the turn of {step}, but no live worker serves {missing[0]!r}."
    cure = words.start_worker(missing[0])
    return _answer(
        Kind.QUEUE_WITHOUT_WORKER, step, detail, cure, since=_turn_began(step)
    )


def _unwatched(step: StepFacts, fleet: Fleet) -> WaitingOn | None:
    """Miss the reconciler, who alone would notice that the step's message is lost."""
    began = _turn_began(step)
    if fleet.reconciler or began is None or began >= fleet.now - PATIENCE:
        return None
    detail = (
        f"It is the turn of {step} since {words.clock(began)}, and it is not taken."
    )
    cure = words.reconciler_wanted("which sends lost messages again")
    return _answer(Kind.RECONCILER, step, detail, cure, since=began)


def _queued(step: StepFacts, fleet: Fleet) -> WaitingOn:
    began = _turn_began(step)
    if not step.queues:
        detail = f"It is the turn of {step}, in a queue that cannot be told."
        return _answer(Kind.QUEUE, step, detail, since=began)
    queue = step.queues[-1]
    served = fleet.queues[queue]
    crowd = words.crowd(served)
    detail = f"It is the turn of {step}, in the queue {queue!r}: {crowd}."
    cure = words.more_workers(queue) if served.is_full else words.SLOTS_ARE_FREE
    return _answer(Kind.QUEUE, step, detail, cure, since=began)


def _turn_began(step: StepFacts) -> datetime | None:
    return step.retry_at or step.since


_PARKED: Mapping[str | None, tuple[Kind, str | None]] = {
    "budget": (Kind.BUDGET, words.RAISE_IT),
    "provider": (Kind.PROVIDER, None),
}
_Decision = Callable[[StepFacts, ExecutionFacts, Fleet], WaitingOn]
_BY_STATUS: Mapping[StepStatus | None, _Decision] = {
    None: _turn,
    StepStatus.PENDING: _turn,
    StepStatus.RETRYING: _turn,
    StepStatus.RUNNING: _running,
    StepStatus.WAITING: _waits,
    StepStatus.NEEDS_ATTENTION: _needs_attention,
}
