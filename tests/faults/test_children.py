"""Executions that run others, while workers, broker and reconciler go away."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.acceptance.bodies import (
    Written,
    by_path,
    each,
    has_status,
    inner,
    loop,
    seen_at,
    steer,
)
from tests.acceptance.system import step, until
from tests.faults.fleet import Fleet, watch
from tests.faults.people import in_crowds
from tests.faults.processes import CPU, CPU_2, IO, RECONCILER, RECONCILER_2

pytestmark = [pytest.mark.fault, pytest.mark.slow]

SOON_S = 10
ITEMS = [1, 2, 3]


def runs(orchestration: dict[str, Any], key: str = "call", **fields: Any) -> Written:
    config = {"orchestration_name": orchestration["name"], **fields.pop("config", {})}
    return {"key": key, "step_type": "orchestration", "config": config, **fields}


def children(fleet: Fleet, execution: str) -> list[str]:
    rows = fleet.query(
        "SELECT id::text FROM executions_execution WHERE parent_execution_id = %s "
        "ORDER BY id",
        execution,
    )
    return [child for (child,) in rows]


def family(fleet: Fleet, execution: str) -> list[str]:
    """List an execution, its children, and theirs."""
    below = [
        each for child in children(fleet, execution) for each in family(fleet, child)
    ]
    return [execution, *below]


def three_generations(fleet: Fleet, work: str) -> dict[str, Any]:
    """Make one that maps over children, each of which loops over one of its own."""
    effect = fleet.role("fault.effect")
    hold = inner("work", fleet.role(work), given={"release": "go"})
    lowest = fleet.orchestration(
        inner("before", effect), hold, inner("behind", effect), output="{{ output }}"
    )
    middle = fleet.orchestration(
        loop("again", {"count": 1}, runs(lowest, "lower")), inner("told", effect)
    )
    return fleet.orchestration(each("all", ITEMS, runs(middle)), inner("after", effect))


ONCE_EACH = {"before": 3, "work": 3, "behind": 3, "told": 3, "after": 1}


@pytest.mark.parametrize("what", ["workers", "valkey", "all"])
def test_children_and_parents_find_each_other_again(fleet: Fleet, what: str) -> None:
    # Given three generations, the youngest at work
    made = three_generations(fleet, "fault.ahold")
    execution = fleet.execute(made)
    until(lambda: fleet.begun().get("work") == 3, what="the youngest at work")

    # When workers die, or the broker loses all, as the youngest end
    names = (CPU, CPU_2) if what == "workers" else (CPU, CPU_2, RECONCILER)
    if what in ("workers", "all"):
        for name in names:
            fleet.kill(name)
    fleet.release("go")
    until(lambda: len(fleet.seen("end", "work")) == 3, what="their ends")
    if what in ("valkey", "all"):
        fleet.valkey.kill()
        fleet.valkey.start(empty=True)
    fleet.heal()
    back = time.monotonic()

    # Then each parent hears of its child's end, once
    ended = fleet.finished(execution, seconds=90)
    assert ended["status"] == "completed", ended["error"]
    assert time.monotonic() - back < 60
    assert fleet.begun() == ONCE_EACH
    assert len(family(fleet, execution)) == 1 + 2 * len(ITEMS)
    for each_one in family(fleet, execution):
        assert fleet.execution(each_one)["status"] == "completed"


@pytest.mark.parametrize("point", ["in_dispatch:kill*2", "after_publish:kill*2"])
def test_deaths_as_children_are_started_and_heard_of_make_no_second_child(
    fleet: Fleet, point: str
) -> None:
    # Given a worker whose children die where they would send what comes next
    made = three_generations(fleet, "fault.apause")
    fleet.kill(CPU_2)
    fleet.restart(CPU, CORE_FAIL_AT=point)

    # When executions come there
    execution = fleet.execute(made)
    until(lambda: fleet.has_reached(point.partition(":")[0]), what="a death")

    # Then each step has one child, and each parent went on once
    ended = fleet.finished(execution, seconds=90)
    assert ended["status"] == "completed", ended["error"]
    assert fleet.begun() == ONCE_EACH
    assert len(family(fleet, execution)) == 1 + 2 * len(ITEMS)


def test_ends_of_children_without_any_reconciler_or_worker_are_heard_of_later(
    fleet: Fleet,
) -> None:
    # Given parents whose children wait, and nobody but the web process is there
    effect = fleet.role("fault.effect")
    asks = {"key": "ask", "step_type": "approval", "config": {}}
    child = fleet.orchestration(asks)
    made = fleet.orchestration(runs(child), inner("after", effect))
    executions = [fleet.execute(made) for _ in range(10)]
    for execution in executions:
        has_status(fleet, execution, "waiting")
    below = [children(fleet, execution)[0] for execution in executions]
    questions = [
        by_path(seen_at(fleet, each, "ask", "waiting"), "approval_id")["ask"]
        for each in below
    ]
    for name in (CPU, CPU_2, IO, RECONCILER):
        fleet.kill(name)
    fleet.valkey.kill()

    # When the children end by answers, several at once
    def answer(question: str) -> int:
        path = f"approvals/{question}/approve/"
        return fleet.client.post(path, json={}).status_code

    assert set(in_crowds(answer, questions * 2, people=4)) == {200, 409}
    for each_one in below:
        assert fleet.execution(each_one)["status"] == "completed"

    # Then, once all are back, and two reconcilers at that, each parent goes on once
    fleet.valkey.start(empty=True)
    fleet.launch(RECONCILER_2)
    for name in (CPU, CPU_2, IO, RECONCILER):
        fleet.launch(name)
    for execution in executions:
        assert fleet.finished(execution, seconds=60)["status"] == "completed"
    assert fleet.begun() == {"after": len(executions)}


def test_a_cancellation_above_ends_three_generations_soon(fleet: Fleet) -> None:
    # Given three generations: the youngest at work, waiting, and in the queue
    hold = fleet.role("fault.hold")
    work = inner("work", hold, given={"release": "never"})
    lowest = fleet.orchestration(work, inner("behind", fleet.role("fault.effect")))
    middle = fleet.orchestration(loop("again", {"count": 2}, runs(lowest, "lower")))
    many = each("all", list(range(8)), runs(middle), config={"max_parallel": 6})
    execution = fleet.execute(fleet.orchestration(many))
    until(lambda: fleet.begun().get("work", 0) == 4, what="all slots at work")
    until(lambda: len(family(fleet, execution)) == 13, what="all generations")
    everybody = family(fleet, execution)

    # When the oldest is cancelled
    steer(fleet, execution, "cancel")
    asked = time.monotonic()

    # Then all of them are over soon
    for each_one in everybody:
        assert fleet.finished(each_one, seconds=20)["status"] == "cancelled"
    assert time.monotonic() - asked < SOON_S
    assert family(fleet, execution) == everybody

    # And nothing of them starts afterwards
    later = fleet.orchestration(step("later", fleet.role("fault.effect")))
    assert fleet.finished(fleet.execute(later))["status"] == "completed"
    assert fleet.begun() == {"work": 4, "later": 1}


def test_a_parent_cancelled_while_the_reconciler_is_down_leaves_no_child_behind(
    fleet: Fleet,
) -> None:
    # Given a parent, a child that works, and a child of that one that waits
    day = {"key": "nap", "step_type": "wait", "config": {"duration_ms": 86_400_000}}
    lowest = fleet.orchestration(day)
    hold = inner("work", fleet.role("fault.ahold"), given={"release": "never"})
    middle = fleet.orchestration(
        {**hold, "parallel_group": "g"}, runs(lowest, "lower", parallel_group="g")
    )
    execution = fleet.execute(fleet.orchestration(runs(middle)))
    until(lambda: len(family(fleet, execution)) == 3, what="three generations")
    until(lambda: fleet.begun() == {"work": 1}, what="work")
    fleet.kill(RECONCILER)

    # When the parent is ended at once, and the reconciler comes back
    steer(fleet, execution, "terminate")
    fleet.restart(RECONCILER)

    # Then nobody is left behind
    for each_one in family(fleet, execution):
        assert fleet.finished(each_one, seconds=20)["status"] == "cancelled"


def test_in_the_instant_of_a_childs_success_parent_and_child_each_have_one_outcome(
    fleet: Fleet,
) -> None:
    # Given parents whose children are about to end
    hold = inner("work", fleet.role("fault.ahold"), given={"release": "now"})
    child = fleet.orchestration(hold)
    made = fleet.orchestration(runs(child))
    executions = [fleet.execute(made) for _ in range(20)]
    until(lambda: fleet.begun() == {"work": 20}, what="work")

    # When they end while people cancel the parents
    def cancel_in_time(execution: str) -> int:
        if execution == executions[8]:
            fleet.release("now")
        if execution == executions[-1]:
            fleet.finished(execution)
        return fleet.client.post(f"executions/{execution}/cancel/").status_code

    codes = in_crowds(cancel_in_time, executions, people=4)

    # Then a parent that was not cancelled completes; a child ends as it may
    for execution, code in zip(executions, codes, strict=True):
        ended = fleet.finished(execution)
        assert ended["status"] == {200: "cancelled", 409: "completed"}[code]
        (below,) = children(fleet, execution)
        statuses = {"completed"} if code == 409 else {"completed", "cancelled"}
        assert fleet.finished(below)["status"] in statuses
    assert {200, 409} == set(codes)


def test_a_paused_parent_hears_of_its_child_when_it_goes_on(fleet: Fleet) -> None:
    # Given a paused parent, whose child works
    hold = inner("work", fleet.role("fault.ahold"), given={"release": "go"})
    child = fleet.orchestration(hold)
    made = fleet.orchestration(
        loop("l", {"count": 2}, runs(child)), inner("after", fleet.role("fault.effect"))
    )
    execution = fleet.execute(made)
    until(lambda: fleet.begun() == {"work": 1}, what="work")
    steer(fleet, execution, "pause")

    # When the child ends, then nothing follows
    fleet.release("go")
    (below,) = children(fleet, execution)
    assert fleet.finished(below)["status"] == "completed"
    watch(3)
    assert fleet.execution(execution)["status"] == "paused"
    assert fleet.begun() == {"work": 1}

    # When it goes on, then it hears of that
    steer(fleet, execution, "resume")
    assert fleet.finished(execution)["status"] == "completed"
    assert fleet.begun() == {"work": 2, "after": 1}


def test_an_orchestration_that_runs_itself_ends_at_the_greatest_depth(
    fleet: Fleet,
) -> None:
    # Given one that runs itself, twice at a time
    effect = inner("one", fleet.role("fault.effect"))
    made = fleet.orchestration(effect, limits={"max_depth": 4})
    body = {
        "name": made["name"],
        "steps": [effect, each("both", [1, 2], runs(made, input_mapping={}))],
        "limits": {"max_depth": 4},
    }
    answer = fleet.client.put(f"orchestrations/{made['id']}/", json=body)
    assert answer.status_code == 200, answer.text

    # When it is executed while a worker dies
    execution = fleet.execute(made)
    until(lambda: fleet.begun(), what="a beginning")
    fleet.kill(CPU_2)
    fleet.launch(CPU_2)

    # Then it comes to an end, and says why; none is deeper, and none is left
    ended = fleet.finished(execution, seconds=60)
    assert (ended["status"], ended["error"]["type"]) == ("failed", "too_deep")
    everybody = family(fleet, execution)
    assert len(everybody) <= 1 + 2 + 4 + 8
    ((deepest,),) = fleet.query(
        "SELECT max(depth) FROM executions_execution WHERE id::text = ANY(%s)",
        everybody,
    )
    assert deepest <= 3
    for each_one in everybody:
        assert fleet.finished(each_one, seconds=30)["status"] in ("failed", "cancelled")
