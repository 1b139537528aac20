"""What is done after a failure, while who does it dies: each step undone once."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.acceptance.bodies import Written, each, inner, loop, steer
from tests.acceptance.system import step, until
from tests.faults.fleet import Fleet
from tests.faults.people import at_once
from tests.faults.processes import CPU, CPU_2, IO, RECONCILER
from tests.faults.stalls import at_hearing

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ITEMS = [1, 2, 3]
UNDONE = ["undo_last", "undo_turn", "undo_turn", *["undo_book"] * 3, "undo_first"]


class Trip:
    """Steps that can be undone, in bodies as well, and a failure at their end."""

    def __init__(self, fleet: Fleet, undo: str = "fault.effect", **given: Any) -> None:
        self.effect, self.bad = fleet.role("fault.effect"), fleet.role("test.fail")
        self.undo = {"role_name": fleet.role(undo), "input_mapping": given}
        self.plain = {"role_name": self.effect}
        self.tell = inner("tell", self.effect)

    def steps(self, **compensate: Any) -> list[Written]:
        """Make the steps; `compensate` says how those of some keys are undone."""

        def done(key: str) -> Written:
            how = compensate.get(key, self.plain)
            return inner(key, self.effect, compensate=how)

        return [
            done("first"),
            each("all", ITEMS, done("book"), config={"max_parallel": 1}),
            loop("again", {"count": 2}, done("turn")),
            done("last"),
        ]

    def failing(self, **compensate: Any) -> list[Written]:
        return [*self.steps(**compensate), inner("bad", self.bad)]


def undone(ended: dict[str, Any]) -> list[str]:
    logs = [log for log in ended["step_logs"] if log["step_key"].startswith("undo_")]
    return [log["step_key"] for log in sorted(logs, key=lambda log: log["finished_at"])]


def once_each(**more: int) -> dict[str, int]:
    done = {"first": 1, "book": 3, "turn": 2, "last": 1}
    return done | {f"undo_{key}": times for key, times in done.items()} | more


@pytest.mark.parametrize("victim", ["child", "worker", "io worker"])
def test_a_killed_worker_in_the_middle_of_undoing_repeats_nothing(
    fleet: Fleet, victim: str
) -> None:
    # Given a failed execution in the middle of its undoing
    work = "fault.ahold" if victim == "io worker" else "fault.hold"
    trip = Trip(fleet, work, release="go")
    made = fleet.orchestration(*trip.failing(book=trip.undo), on_failure=[trip.tell])
    execution = fleet.execute(made)
    until(lambda: fleet.begun().get("undo_book") == 1, what="the middle of it")
    ((run,),) = fleet.query(
        "SELECT id::text FROM executions_steprun WHERE execution_id = %s "
        "AND key = 'undo_book' AND status = 'running'",
        execution,
    )

    # When who undoes is killed
    name, pid = fleet.holder(run)
    if victim == "child":
        os.kill(pid, signal.SIGKILL)
    else:
        fleet.kill(name)
        fleet.launch(name)
    killed = time.monotonic()

    # Then that goes on within the promised time
    until(lambda: fleet.begun().get("undo_book") == 2, what="a second attempt")
    assert time.monotonic() - killed < 30
    fleet.release("go")
    ended = fleet.finished(execution, seconds=60)

    # And each is undone once, in the reverse order, and told of once
    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "bad")
    assert undone(ended) == UNDONE
    assert fleet.begun() == once_each(undo_book=4, tell=1)
    assert sorted(fleet.begun_at(execution).values())[-2:] == [1, 2]


def test_a_death_between_undoing_one_and_the_next_repeats_nothing(fleet: Fleet) -> None:
    # Given executions whose undoing stands still where one step is undone
    trip = Trip(fleet)
    undoable = inner("one", trip.effect, compensate=trip.plain)
    other = inner("two", trip.effect, compensate=trip.plain)
    made = fleet.orchestration(
        undoable, other, inner("bad", trip.bad), on_failure=[trip.tell]
    )
    with at_hearing(fleet) as stall:
        executions = [fleet.execute(made) for _ in range(2)]
        until(lambda: fleet.begun().get("undo_two"), what="undoing")
        stall.await_names(1)

        # When all who do it are killed there
        stall.kill(CPU, CPU_2)
    for name in (CPU, CPU_2):
        fleet.launch(name)

    # Then each is undone once
    for execution in executions:
        ended = fleet.finished(execution, seconds=60)
        assert ended["status"] == "failed"
        assert undone(ended) == ["undo_two", "undo_one"]
    keys = ("one", "two", "undo_one", "undo_two", "tell")
    assert fleet.begun() == dict.fromkeys(keys, 2)


def test_all_wiped_and_killed_in_the_middle_of_undoing_repeats_nothing(
    fleet: Fleet,
) -> None:
    # Given a failed execution in the middle of its undoing, and of `on_failure`
    trip = Trip(fleet, "fault.ahold", release="go")
    first = fleet.execute(
        fleet.orchestration(*trip.failing(turn=trip.undo), on_failure=[trip.tell])
    )
    hold = inner("see", fleet.role("fault.ahold"), given={"release": "go"})
    second = fleet.execute(
        fleet.orchestration(
            *trip.failing(), on_failure=[inner("before", trip.effect), hold, trip.tell]
        )
    )
    until(lambda: fleet.begun().get("see"), what="on_failure")
    until(lambda: fleet.begun().get("undo_turn", 0) == 3, what="an undoing")

    # When everything is killed, and Valkey has lost everything
    for name in (CPU, CPU_2, IO, RECONCILER):
        fleet.kill(name)
    fleet.valkey.kill()
    fleet.valkey.start(empty=True)
    fleet.release("go")
    fleet.heal()

    # Then both come to their end, and only what ran then has run again
    for execution in (first, second):
        ended = fleet.finished(execution, seconds=60)
        assert (ended["status"], ended["error"]["step_key"]) == ("failed", "bad")
        assert undone(ended) == UNDONE
    again = {path for path, times in fleet.begun_at(first).items() if times > 1}
    assert len(again) == 1
    assert again.pop().endswith("/undo_turn")
    twice = {path for path, times in fleet.begun_at(second).items() if times > 1}
    assert len(twice) == 1
    assert twice.pop().endswith("/see")
    begun = fleet.begun()
    assert (begun["tell"], begun["before"]) == (2, 1)


def test_undoing_with_children_that_die_where_they_would_send_repeats_nothing(
    fleet: Fleet,
) -> None:
    # Given steps undone in one pool and another, and a worker that dies between them
    trip = Trip(fleet, "fault.aeffect")
    made = fleet.orchestration(
        *trip.failing(book=trip.undo, turn=trip.undo), on_failure=[trip.tell]
    )
    fleet.kill(CPU_2)
    fleet.restart(CPU, CORE_FAIL_AT="in_dispatch:kill*1,after_publish:kill*1")

    # When an execution comes there
    execution = fleet.execute(made)

    # Then each is done once, and undone once
    ended = fleet.finished(execution, seconds=90)
    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "bad")
    assert fleet.has_reached("in_dispatch")
    assert undone(ended) == UNDONE
    assert fleet.begun() == once_each(tell=1)


def test_rolled_back_by_several_at_once_and_over_a_death_each_is_undone_once(
    fleet: Fleet,
) -> None:
    # Given an execution that has completed, and one that is under way
    trip = Trip(fleet, "fault.hold", release="go")
    completed = fleet.execute(fleet.orchestration(*trip.steps(last=trip.undo)))
    assert fleet.finished(completed)["status"] == "completed"
    hold = inner("long", fleet.role("fault.ahold"), given={"release": "never"})
    running = fleet.execute(fleet.orchestration(*trip.steps(), hold))
    until(lambda: fleet.begun_at(running).get("long"), what="work")

    # When several roll them back at once, and a worker dies of it
    def roll_back(execution: str) -> int:
        path = f"executions/{execution}/rollback/"
        return fleet.client.post(path, json={}).status_code

    acts = [lambda each=each: roll_back(each) for each in (completed, running) * 3]
    came = at_once(*acts)
    assert set(came) <= {200, 409}, came
    assert came[::2].count(200) >= 1
    assert came[1::2].count(200) >= 1
    until(lambda: fleet.begun().get("undo_last", 0) == 2, what="undoing")
    ((run,),) = fleet.query(
        "SELECT id::text FROM executions_steprun WHERE execution_id = %s "
        "AND key = 'undo_last' AND status = 'running'",
        completed,
    )
    name, _ = fleet.holder(run)
    fleet.kill(name)
    fleet.launch(name)
    fleet.release("go")

    # Then each is undone once
    for execution, status in ((completed, "completed"), (running, "cancelled")):

        def is_over(execution: str = execution, status: str = status) -> bool:
            return bool(fleet.execution(execution)["status"] == status)

        until(is_over, what=status, seconds=40)
        assert undone(fleet.execution(execution)) == UNDONE


def test_cancelling_what_undoes_ends_it_soon_and_nothing_starts_afterwards(
    fleet: Fleet,
) -> None:
    # Given a failed execution in the middle of its undoing, and one in `on_failure`
    trip = Trip(fleet, "fault.ahold", release="never")
    undoing = fleet.execute(
        fleet.orchestration(*trip.failing(turn=trip.undo), on_failure=[trip.tell])
    )
    hold = inner("see", fleet.role("fault.hold"), given={"release": "never"})
    seeing = fleet.execute(
        fleet.orchestration(inner("bad", trip.bad), on_failure=[hold, trip.tell])
    )
    until(lambda: fleet.begun().get("undo_turn") == 1, what="undoing")
    until(lambda: fleet.begun().get("see") == 1, what="on_failure")
    begun = fleet.begun()

    # When they are cancelled
    for execution in (undoing, seeing):
        steer(fleet, execution, "cancel")
    asked = time.monotonic()

    # Then they are over soon, with one outcome, and nothing starts
    for execution in (undoing, seeing):
        assert fleet.finished(execution)["status"] in ("cancelled", "failed")
    assert time.monotonic() - asked < 10
    later = fleet.orchestration(step("later", trip.effect))
    assert fleet.finished(fleet.execute(later))["status"] == "completed"
    assert fleet.begun() == {**begun, "later": 1}
