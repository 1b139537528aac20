"""Group commit: what many threads want is one transaction, and each has its own end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, OperationalError, connection, transaction

from executions import committer, lifecycle, situation
from executions.committer import Lane, Statement, WrongLane, grouped
from executions.database import cut_unanswered
from executions.lifecycle import Claim
from executions.models import Event, Execution, StepRun
from tests.integration.engine import (
    DONE,
    PATIENCE_S,
    at_once,
    chain,
    claimed,
    group,
    launched,
    new_run,
    role,
    run_at,
    told,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = UUID(int=0)


@pytest.fixture(autouse=True)
def lanes() -> Iterator[dict[str, Lane]]:
    committer.start()
    yield dict(committer._lanes)
    committer.stop()


class Gate(dict[str, Any]):
    """Parameters that nobody can read until they are opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __missing__(self, key: str) -> str:
        self.reached.set()
        self.opened.wait(PATIENCE_S)
        return key


@contextmanager
def held_up(lane: Lane) -> Iterator[None]:
    """Let a lane look at nothing new, so that what comes meanwhile waits together."""
    gate = Gate()
    sql = "SELECT %(gate)s::text"
    statement = Statement(sql=sql, params=gate, execution=NOBODY)
    thread = threading.Thread(target=lane.run, args=(statement,))
    thread.start()
    assert gate.reached.wait(PATIENCE_S)
    try:
        yield
    finally:
        gate.opened.set()
        thread.join(PATIENCE_S)


@contextmanager
def meeting(lane: Lane, *actions: Callable[[], Any]) -> Iterator[list[Any]]:
    """Have actions ask for their statements at once; their answers come afterwards."""
    came: list[Any] = []
    thread = threading.Thread(target=lambda: came.extend(at_once(*actions)))
    with held_up(lane):
        thread.start()
        until(lambda: lane._asked.qsize() == len(actions), "everybody's question")
    yield came
    thread.join(PATIENCE_S)


def together(lane: Lane, *actions: Callable[[], Any]) -> list[Any]:
    with meeting(lane, *actions) as came:
        pass
    return came


def claiming(
    execution: Execution, path: str = "a", **fields: Any
) -> partial[Claim | None]:
    run = new_run(execution, path, **fields)
    return partial(lifecycle.claim, run, execution_started=False)


def settling(claim: Claim) -> partial[bool]:
    return partial(lifecycle.settle, claim, DONE)


def transactions(kind: str, *executions: Execution) -> set[int | None]:
    """List the transactions that told of something."""
    events = Event.objects.filter(execution__in=executions, type=kind)
    return set(events.values_list("transaction_id", flat=True))


def backend_of(lane: Lane) -> int:
    sql = "SELECT pg_backend_pid()"
    rows = lane.run(asked(sql, NOBODY))
    assert rows
    return int(rows[0][0])


def asked(sql: Any, execution: UUID) -> Statement:
    return Statement(sql=sql, params={}, execution=execution)


# --- one transaction for many ---------------------------------------------------------


def test_claims_that_wait_together_are_committed_together(
    lanes: dict[str, Lane],
) -> None:
    executions = [chain("a") for _ in range(5)]

    claims = together(lanes["relaxed"], *map(claiming, executions))

    assert [claim.run.execution_id for claim in claims] == [e.pk for e in executions]
    assert len(transactions("step.started", *executions)) == 1


def test_outcomes_that_wait_together_are_committed_together(
    lanes: dict[str, Lane],
) -> None:
    executions = [chain("a", "b") for _ in range(5)]
    claims = [claimed(execution, "a") for execution in executions]

    assert all(together(lanes["durable"], *map(settling, claims)))

    assert len(transactions("step.completed", *executions)) == 1


def test_members_of_a_parallel_group_share_a_transaction(
    lanes: dict[str, Lane],
) -> None:
    execution = launched(*group("a", "b", "c", of=role()))

    claims = together(lanes["relaxed"], *(claiming(execution, key) for key in "abc"))

    assert all(claims)
    assert told(execution).count("execution.started") == 1
    assert len(transactions("step.started", execution)) == 1


def test_of_two_who_claim_one_step_together_one_gets_it(lanes: dict[str, Lane]) -> None:
    execution = chain("a")

    claims = together(lanes["relaxed"], claiming(execution), claiming(execution))

    assert sorted(map(bool, claims)) == [False, True]


def test_a_claim_and_an_outcome_never_share_a_transaction(
    lanes: dict[str, Lane],
) -> None:
    beginning, going_on = chain("a"), chain("a", "b")
    settle = settling(claimed(going_on, "a"))

    with held_up(lanes["durable"]):
        came = together(lanes["relaxed"], claiming(beginning), claiming(chain("a")))
        ended = threading.Thread(target=settle)
        ended.start()
        until(lanes["durable"]._asked.qsize, "the question")
    ended.join(PATIENCE_S)

    assert all(came)
    told_of = transactions("step.started", beginning, going_on)
    assert transactions("step.completed", going_on).isdisjoint(told_of)


def test_a_durable_claim_goes_with_the_outcomes(lanes: dict[str, Lane]) -> None:
    beginning, going_on = chain("a"), chain("a", "b")
    claim = claimed(going_on, "a")

    came = together(
        lanes["durable"], claiming(beginning, durable=True), settling(claim)
    )

    assert all(came)
    assert transactions("step.started", beginning) == transactions(
        "step.completed", going_on
    )


@pytest.mark.parametrize(
    ("lane", "sql"),
    [
        ("durable", "SELECT set_config('synchronous_commit', 'off', true)"),
        ("relaxed", "SELECT 'nothing that gives up on the disk'"),
    ],
)
def test_no_statement_can_be_put_into_the_wrong_lane(lane: Any, sql: Any) -> None:
    with pytest.raises(WrongLane):
        committer.share(lane, sql)


def test_reads_that_wait_together_are_answered_each_with_its_own(
    lanes: dict[str, Lane],
) -> None:
    executions = [chain("a", given={"n": n}) for n in range(4)]

    reads = [partial(situation.read, execution.pk, ["a"]) for execution in executions]
    known = together(lanes["reading"], *reads)

    assert [each.input for each in known] == [{"n": n} for n in range(4)]


# --- what is in a group ------------------------------------------------------------------


def test_a_group_is_in_the_order_of_its_executions() -> None:
    waiting = [asked("a", uuid4()) for _ in range(5)]

    together, left = grouped(waiting)

    assert [one.execution for one in together] == sorted(o.execution for o in waiting)
    assert left == []


def test_different_statements_of_one_execution_come_one_after_the_other() -> None:
    mine, other = uuid4(), uuid4()
    waiting = [asked("a", mine), asked("b", mine), asked("b", other), asked("a", mine)]

    together, left = grouped(waiting)

    assert {id(one) for one in together} == {id(waiting[at]) for at in (0, 2, 3)}
    assert left == [waiting[1]]


def test_a_group_has_a_limit() -> None:
    waiting = [asked("a", uuid4()) for _ in range(100)]

    together, left = grouped(waiting)

    assert len(together) + len(left) == 100
    assert left == waiting[len(together) :]


# --- one that fails -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"timeout_ms": 10**30}, DataError), ({"input": object()}, TypeError)],
    ids=["in the server", "before it is sent"],
)
def test_one_that_fails_does_its_neighbours_no_harm(
    lanes: dict[str, Lane], fields: dict[str, Any], error: type[Exception]
) -> None:
    first, bad, last = (chain("a") for _ in range(3))

    came = together(
        lanes["relaxed"], claiming(first), claiming(bad, **fields), claiming(last)
    )

    assert [isinstance(each, Claim) for each in came] == [True, False, True]
    assert isinstance(came[1], error)
    assert told(first).count("step.started a") == 1
    assert not StepRun.objects.filter(execution=bad).exists()


def test_one_that_has_to_wait_for_a_lock_does_not_hold_up_the_others(
    lanes: dict[str, Lane],
) -> None:
    held, free = chain("a"), chain("a")
    with ExitStack() as holding:
        holding.enter_context(transaction.atomic())
        Execution.objects.select_for_update().get(pk=held.pk)
        with meeting(lanes["relaxed"], claiming(held), claiming(free)) as came:
            until(lambda: StepRun.objects.filter(execution=free), "the other's claim")
            assert not StepRun.objects.filter(execution=held).exists()
            holding.close()

    assert all(isinstance(each, Claim) for each in came)


def test_a_lost_connection_is_told_to_all_who_wait(lanes: dict[str, Lane]) -> None:
    executions = [chain("a") for _ in range(3)]
    lane = lanes["relaxed"]
    backend = backend_of(lane)
    asleep = partial(lane.run, asked("SELECT pg_sleep(60)", NOBODY))

    with meeting(lane, asleep, *map(claiming, executions)) as came:
        until(lambda: _sleeps(backend), "a group under way")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [backend])

    assert [type(each) for each in came] == [OperationalError] * 4
    assert all(together(lane, *map(claiming, executions)))


def test_a_lane_whose_answer_is_overdue_is_cut_free(lanes: dict[str, Lane]) -> None:
    lane = lanes["durable"]
    asleep = asked("SELECT pg_sleep(3)", NOBODY)

    def cut() -> None:
        until(lambda: _sleeps(backend), "a statement under way")
        cut_unanswered(older_than_s=0)

    backend = backend_of(lane)
    came = at_once(partial(lane.run, asleep), cut)

    assert isinstance(came[0], OperationalError)
    assert backend_of(lane) != backend


def _sleeps(backend: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wait_event FROM pg_stat_activity WHERE pid = %s", [backend]
        )
        return bool(cursor.fetchone() == ("PgSleep",))


# --- who else is about ----------------------------------------------------------------


def test_two_processes_do_not_wait_for_each_other_in_a_circle(
    lanes: dict[str, Lane],
) -> None:
    executions = [launched(*group(*"abcd", of=role())) for _ in range(4)]
    other = Lane("other", writes=True)
    claims = {key: [claiming(each, key) for each in executions] for key in "abcd"}

    def by_the_other(action: partial[Any]) -> Any:
        run = action.args[0]
        sql = lifecycle.claims._CLAIMS[False, False, False]
        return other.run(
            Statement(sql=sql, params=run.params(), execution=run.execution_id)
        )

    mine = [claim for key in "ab" for claim in claims[key]]
    theirs = [partial(by_the_other, c) for key in "cd" for c in reversed(claims[key])]
    came = at_once(*mine, *theirs)
    other.end()

    assert [each for each in came if isinstance(each, Exception)] == []
    assert StepRun.objects.filter(status="running").count() >= len(mine)


def test_what_is_part_of_a_transaction_goes_its_own_way(lanes: dict[str, Lane]) -> None:
    execution = chain("a")

    with transaction.atomic():
        assert claiming(execution)()
        transaction.set_rollback(True)

    assert not StepRun.objects.filter(execution=execution).exists()


def test_whoever_comes_after_the_end_goes_its_own_way(lanes: dict[str, Lane]) -> None:
    execution = chain("a")

    committer.stop()

    assert lanes["relaxed"].run(asked("SELECT 1", execution.pk)) is None
    assert claiming(execution)()
    assert run_at(execution, "a").status == "running"
