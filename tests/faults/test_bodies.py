"""Loops, maps and branches whose workers, broker or database go away under them."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bodies import (
    Written,
    abreast,
    by_path,
    case,
    each,
    inner,
    loop,
    route,
    when,
)
from tests.acceptance.system import TERMINAL, until
from tests.faults.definitions import nested
from tests.faults.fleet import DEFAULT_LEASE, NAMES, Fleet, watch
from tests.faults.processes import CPU, CPU_2, IO
from tests.faults.stalls import at_hearing

pytestmark = [pytest.mark.fault, pytest.mark.slow]

PROMISED_S = 30
MOST_RESIDENT_KB = 300 * 1024
ITEMS = list(range(6))
# What each shape comes to, whatever happens on the way.
OUTPUTS = {
    "turns": [0, 1, 2],
    "items": ITEMS,
    "outer": [[0, 1], [0, 1]],
}


class Shapes:
    """A loop, a map, and a map of branches in a loop; `work` waits to be released."""

    def __init__(self, fleet: Fleet, work: str) -> None:
        self.work, self.same = fleet.role(work), fleet.role("util.identity")

    def held(self, release: str) -> Written:
        return inner("work", self.work, given={"release": release})

    def keep(self, value: str) -> Written:
        return inner("keep", self.same, given=value)

    def turns(self) -> Written:
        config = {"count": 3, "collect": "all"}
        held = self.held("turn{{ loop.index }}")
        return loop("turns", config, held, self.keep("{{ loop.index }}"))

    def items(self) -> Written:
        held, keep = self.held("item{{ item }}"), self.keep("{{ item }}")
        return each("items", ITEMS, held, keep, config={"max_parallel": 2})

    def outer(self) -> Written:
        """The second of two items waits in each turn, the one before never does."""
        first = case("first", when("context.item", "==", 1))
        other = {**self.held("other"), "key": "other", "branch": "second"}
        ways = route(
            "ways",
            {"cases": [first], "else": "second"},
            {**self.held("outer{{ loop.index }}"), "branch": "first"},
            other,
        )
        keep, one_by_one = self.keep("{{ item }}"), {"max_parallel": 1}
        body = each("inside", [0, 1], ways, keep, config=one_by_one)
        return loop("outer", {"count": 2, "collect": "all"}, body)

    def all(self) -> dict[str, Written]:
        made = (self.turns(), self.items(), self.outer())
        return {each["key"]: each for each in made}


HELD = {
    "turns": ["turns[1]/work"],
    "items": ["items[2]/work", "items[3]/work"],
    "outer": ["outer[1]/inside[1]/ways[first]/work"],
}
DONE_BEFORE = ["turn0", "item0", "item1", "outer0", "other"]
HELD_BACK = ["turn1", "turn2", *(f"item{n}" for n in ITEMS[2:]), "outer1"]
WORK = {
    "turns": [f"turns[{n}]/work" for n in range(3)],
    "items": [f"items[{n}]/work" for n in ITEMS],
    "outer": [
        f"outer[{turn}]/inside[{place}]/ways[{branch}]/{key}"
        for turn in (0, 1)
        for place, branch, key in ((1, "first", "work"), (0, "second", "other"))
    ],
}


def under_way(fleet: Fleet, work: str) -> dict[str, str]:
    """Start an execution of each shape, and wait until each is in its middle."""
    for name in DONE_BEFORE:
        fleet.release(name)
    executions = {
        name: fleet.execute(fleet.orchestration(shape))
        for name, shape in Shapes(fleet, work).all().items()
    }
    for name, execution in executions.items():
        until(partial(holds, fleet, execution, name), what=f"{name} in the middle")
    return executions


def holds(fleet: Fleet, execution: str, name: str) -> bool:
    """Tell whether all that is held of a shape has begun."""
    return set(HELD[name]) <= fleet.begun_at(execution).keys()


def run_id(fleet: Fleet, execution: str, path: str) -> str:
    ((found,),) = fleet.query(
        "SELECT id::text FROM executions_steprun WHERE execution_id = %s AND path = %s",
        execution,
        path,
    )
    return str(found)


@pytest.mark.parametrize(
    ("victim", "work"),
    [("child", "fault.hold"), ("worker", "fault.hold"), ("io worker", "fault.ahold")],
)
def test_bodies_go_on_in_the_middle_when_their_worker_is_killed(
    fleet: Fleet, victim: str, work: str
) -> None:
    # Given a loop in its second turn, a map of which some items are done, some run and
    # some have not begun, and both in one another; with the promise's own lease
    if victim == "worker":
        for name in (CPU, CPU_2):
            fleet.restart(name, **DEFAULT_LEASE)
    executions = under_way(fleet, work)
    before = {name: fleet.begun_at(each) for name, each in executions.items()}
    hit = run_id(fleet, executions["items"], "items[2]/work")

    # When one is killed that works on them
    name, pid = fleet.holder(hit)
    if victim == "child":
        os.kill(pid, signal.SIGKILL)
    else:
        fleet.kill(name)
    killed = time.monotonic()
    if victim != "child":
        fleet.launch(name)  # there are slots for all that is under way, or it queues

    # Then the item that it had runs again within the promised time
    until(
        lambda: fleet.begun_at(executions["items"])["items[2]/work"] == 2,
        seconds=PROMISED_S,
        what="a second attempt",
    )
    assert time.monotonic() - killed < PROMISED_S
    for release in HELD_BACK:
        fleet.release(release)

    # And all come to what they would have come to
    for name, execution in executions.items():
        ended = fleet.finished(execution, seconds=60)
        assert ended["status"] == "completed", ended["error"]
        assert ended["context"][name] == OUTPUTS[name]

        # Without doing again what was done
        begun = fleet.begun_at(execution)
        again = {path for path, times in begun.items() if times > 1}
        assert sorted(begun) == sorted(WORK[name])
        assert again <= set(HELD[name])
        assert max(begun.values()) <= 2
        assert set(before[name]) - set(HELD[name]) <= begun.keys() - again


def test_a_death_between_a_frames_end_and_its_containers_hearing_repeats_nothing(
    fleet: Fleet,
) -> None:
    # Given a loop, a map, branches and a parallel body
    effect = fleet.role("fault.effect")
    one, other = inner("one", effect), inner("other", effect)
    always = {"cases": [case("one", when("context.input.x", "==", 1))]}
    shapes = {
        "again": loop("again", {"count": 3}, one),
        "all": each("all", ITEMS, one, config={"max_parallel": 2}),
        "way": route("way", always | {"else": "other"}, one, other),
        "both": abreast("both", {}, one, other),
    }
    runs = {"again": 3, "all": len(ITEMS), "way": 1, "both": 2}
    after = inner("after", effect)
    made = {name: fleet.orchestration(one, after) for name, one in shapes.items()}

    # When all who hear of the end of a frame are killed as they do
    with at_hearing(fleet) as stall:
        executions = {name: fleet.execute(one, {"x": 1}) for name, one in made.items()}
        stall.await_names(len(shapes) - 1)  # the branches of one wait for each other
        assert fleet.begun().get("after") is None
        stall.kill(CPU, CPU_2)
    for name in (CPU, CPU_2):
        fleet.launch(name)

    # Then all hear of it nevertheless, and nothing is done twice
    for name, execution in executions.items():
        ended = fleet.finished(execution, seconds=60)
        assert ended["status"] == "completed", (name, ended["error"])
        begun = fleet.begun_at(execution)
        assert set(begun.values()) == {1}, (name, begun)
        assert len(begun) == runs[name] + 1


def test_a_death_between_a_containers_decision_and_its_message_repeats_nothing(
    fleet: Fleet,
) -> None:
    # Given bodies that go from one pool to the other and back, and a worker whose
    # children die where they would send what a loop or a map has decided
    fleet.kill(CPU_2)
    fleet.restart(CPU, CORE_FAIL_AT="in_dispatch:kill*2")
    first = inner("first", fleet.role("fault.aeffect"))
    last = inner("last", fleet.role("fault.effect"))
    after = inner("after", fleet.role("fault.aeffect"))
    always = {"cases": [case("way", when("context.input.x", "==", 1))]}
    shapes = [
        loop("again", {"count": 3}, first, last),
        each("all", ITEMS, first, last, config={"max_parallel": 2}),
        loop("turns", {"count": 2}, route("choose", always, _way(first), _way(last))),
    ]
    runs = [3, len(ITEMS), 2]

    # When executions come there
    made = [fleet.orchestration(shape, after) for shape in shapes]
    executions = [fleet.execute(each, {"x": 1}) for each in made]
    until(lambda: len(list(fleet.fuses.iterdir())) == 2, what="two deaths")

    # Then they go on, each step done once
    for execution, count in zip(executions, runs, strict=True):
        assert fleet.finished(execution, seconds=60)["status"] == "completed"
        begun = fleet.begun_at(execution)
        assert set(begun.values()) == {1}, begun
        assert len(begun) == 2 * count + 1


def _way(step: Written) -> Written:
    return {**step, "branch": "way"}


def many(fleet: Fleet, times: int) -> tuple[list[str], dict[str, int]]:
    """Start loops, maps and branches in both pools; say how often each step is run."""
    cpu, io = fleet.role("fault.pause"), fleet.role("fault.apause")
    nap = {"key": "nap", "step_type": "wait", "config": {"duration_ms": 300}}
    always = {"cases": [case("way", when("context.input.x", "==", 1))]}
    shape = [
        loop("again", {"count": 3}, inner("turn", cpu), nap),
        each("all", [1, 2, 3], inner("one", io), inner("on", cpu)),
        route("choose", always | {"else": "not"}, inner("way", cpu), inner("not", io)),
        abreast("both", {}, inner("left", cpu), inner("right", io)),
        inner("last", io),
    ]
    made = fleet.orchestration(*shape)
    expected = {"turn": 3, "one": 3, "on": 3, "way": 1, "left": 1, "right": 1}
    expected["last"] = 1
    executions = [fleet.execute(made, {"x": 1}) for _ in range(times)]
    return executions, {key: count * times for key, count in expected.items()}


def all_complete(fleet: Fleet, executions: list[str], seconds: float) -> None:
    for execution in executions:
        ended = fleet.finished(execution, seconds=seconds)
        assert ended["status"] == "completed", ended["error"]


def test_loops_and_maps_survive_a_wiped_valkey(fleet: Fleet) -> None:
    # Given loops, maps and waits at every moment
    executions, expected = many(fleet, 20)
    until(lambda: fleet.begun().get("one", 0) > 5, what="some in their middle")

    # When Valkey is killed, loses all, and comes back
    fleet.valkey.kill()
    fleet.valkey.start(empty=True)
    back = time.monotonic()

    # Then all of them are done soon, and no step was done twice
    all_complete(fleet, executions, 90)
    assert time.monotonic() - back < 60
    assert fleet.begun() == expected


def test_containers_decide_while_valkey_is_away(fleet: Fleet) -> None:
    # Given bodies in their middle
    executions = under_way(fleet, "fault.ahold")

    # When what they wait for ends while Valkey is away, and it comes back
    fleet.valkey.kill()
    for release in HELD_BACK:
        fleet.release(release)
    watch(12)
    fleet.valkey.start()
    back = time.monotonic()

    # Then all come to their end soon, each step done once
    for name, execution in executions.items():
        ended = fleet.finished(execution, seconds=60)
        assert ended["status"] == "completed", ended["error"]
        assert ended["context"][name] == OUTPUTS[name]
        assert fleet.begun_at(execution) == dict.fromkeys(WORK[name], 1)
    assert time.monotonic() - back < 45


def test_no_step_of_a_body_fails_because_postgres_was_away(fleet: Fleet) -> None:
    # Given loops, maps, branches and waits at every moment
    executions, _ = many(fleet, 20)
    until(lambda: fleet.begun().get("one", 0) > 5, what="some in their middle")

    # When PostgreSQL stops in the middle of it, for longer than any lease
    fleet.halt_postgres()
    watch(15)
    fleet.postgres.start()

    # Then every execution completes, and no step has failed
    all_complete(fleet, executions, 120)
    assert failures(fleet) == []


def failures(fleet: Fleet) -> list[tuple[Any, ...]]:
    return fleet.query(
        "SELECT v.type, v.path, v.data FROM executions_event v "
        "JOIN executions_execution e ON e.id = v.execution_id "
        "WHERE e.created_at >= %s AND (v.type = 'step.failed' "
        "OR v.type = 'step.retrying' AND v.data->>'type' <> 'worker_lost')",
        fleet.since,
    )


def test_bodies_are_not_moved_by_messages_delivered_three_times(fleet: Fleet) -> None:
    # Given a Valkey that takes every message three times, whoever sends it
    proxy = fleet.valkey_proxy()
    proxy.copies = 3
    for name in NAMES:
        fleet.launch(name, REDIS_URL=proxy.url)
    for name in NAMES:
        fleet.await_ready(name)

    # When loops, maps, branches, parallel bodies and children run
    executions, expected = many(fleet, 10)
    child = fleet.orchestration(inner("below", fleet.role("fault.effect")))
    config = {"orchestration_name": child["name"]}
    calls = {"key": "call", "step_type": "orchestration", "config": config}
    made = fleet.orchestration(
        each("call_all", ITEMS, calls), loop("call_again", {"count": 3}, _again(calls))
    )
    executions += [fleet.execute(made) for _ in range(3)]
    all_complete(fleet, executions, 60)

    # Then each did every step once, and nothing was taken for lost
    assert fleet.begun() == expected | {"below": 3 * (len(ITEMS) + 3)}
    assert proxy.multiplied > 100
    assert fleet.violations(lost_nothing=True) == []


def _again(step: Written) -> Written:
    return {**step, "key": f"{step['key']}_2"}


def resident_kb(fleet: Fleet, *names: str) -> dict[int, int]:
    """The most memory that each process of these workers has had."""
    groups = {fleet.children[name].pid for name in names}
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getpgid(int(folder.name)) not in groups:
                continue
            lines = (folder / "status").read_text().splitlines()
        except (ProcessLookupError, FileNotFoundError):
            continue
        most = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        if most:
            found[int(folder.name)] = int(most[0])
    return found


def test_a_map_of_ten_thousand_items_takes_bounded_memory(fleet: Fleet) -> None:
    # Given as many items as an execution may have, a hundred at a time
    same = fleet.role("util.identity")
    big = each(
        "all",
        list(range(10_000)),
        inner("keep", same, given="{{ item }}"),
        config={"max_parallel": 100},
    )

    # When they are done
    execution = fleet.execute(fleet.orchestration(big))

    def ended() -> bool:
        ((status,),) = fleet.query(
            "SELECT status FROM executions_execution WHERE id = %s", execution
        )
        return status in TERMINAL

    until(ended, seconds=150, what="the end")

    # Then each was done once, in order, and no process has grown large
    ((status, output),) = fleet.query(
        "SELECT e.status, s.output FROM executions_execution e "
        "JOIN executions_steprun s ON s.execution_id = e.id AND s.path = 'all' "
        "WHERE e.id = %s",
        execution,
    )
    assert (status, output) == ("completed", list(range(10_000)))
    assert fleet.query(
        "SELECT count(*), max(attempt), max(crashes) FROM executions_steprun "
        "WHERE execution_id = %s AND key = 'keep'",
        execution,
    ) == [(10_000, 1, 0)]
    memory = resident_kb(fleet, CPU, CPU_2, IO)
    assert memory
    assert max(memory.values()) < MOST_RESIDENT_KB


def test_maps_of_maps_of_maps_come_to_lists_of_lists_of_lists(fleet: Fleet) -> None:
    # Given eight items in eight in eight
    same, eight = fleet.role("util.identity"), list(range(8))
    inmost = inner("keep", same, given="{{ item }}")
    cube = each("x", eight, each("y", eight, each("z", eight, inmost)))

    # When they are done, then each is in its place
    ended = fleet.finished(fleet.execute(fleet.orchestration(cube)), seconds=60)
    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["x"] == [[eight] * 8] * 8


def test_what_has_no_end_or_no_bottom_is_refused(fleet: Fleet) -> None:
    # Given a loop without a limit, and bodies deeper than twenty levels
    same = fleet.role("util.identity")
    endless = {**loop("l", {}, inner("a", same)), "config": {}}
    numbers = iter(range(1_000))

    def around(inmost: Written) -> Written:
        return each(f"m{next(numbers)}", [1], inmost)

    def answer(step: Written) -> tuple[int, set[str]]:
        body = {"name": f"Refused {next(numbers)}", "steps": [step]}
        came = fleet.client.post("orchestrations/", json=body)
        return came.status_code, {e["code"] for e in came.json().get("errors", [])}

    # When they are posted, then they are refused, and it is said why
    assert answer(endless) == (400, {"loop_without_limit"})
    for levels in (20, 50):
        assert answer(nested(levels, around, inner("a", same))) == (400, {"too_deep"})

    # And the deepest that is allowed runs: nineteen bodies, and a step
    deepest = nested(19, around, inner("a", same, given="bottom"))
    ended = fleet.finished(fleet.execute(fleet.orchestration(deepest)), seconds=60)
    assert ended["status"] == "completed", ended["error"]
    (output,) = (log["output"] for log in ended["step_logs"] if "/" not in log["path"])
    assert output == nested(19, lambda inmost: [inmost], "bottom")
    assert "completed" in by_path(ended, "status").values()
