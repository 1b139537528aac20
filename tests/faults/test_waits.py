"""Waits for the clock, for events and for people, over deaths and races."""

from __future__ import annotations

import itertools
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.bodies import (
    Written,
    abreast,
    by_path,
    each,
    has_status,
    inner,
    loop,
    seen_at,
)
from tests.acceptance.system import TERMINAL, step, until
from tests.faults.fleet import Fleet, watch
from tests.faults.people import at_once, in_crowds, stranger
from tests.faults.processes import CPU, CPU_2, IO, RECONCILER, RECONCILER_2
from tests.faults.stalls import Stall, at_hearing
from tests.faults.upheaval import restart_all

pytestmark = [pytest.mark.fault, pytest.mark.slow]

SOON_S = 10
DAY_MS = 24 * 60 * 60 * 1000
MANY = 24
_names = (f"fault.{number}" for number in itertools.count(1))


def wait(key: str = "w", **config: Any) -> Written:
    return {"key": key, "step_type": "wait", "config": config}


def ask(key: str = "ask", **config: Any) -> Written:
    return {"key": key, "step_type": "approval", "config": config}


def question_of(fleet: Fleet, execution: str, path: str = "ask") -> str:
    found = seen_at(fleet, execution, path, "waiting")
    return str(by_path(found, "approval_id")[path])


def event_count(fleet: Fleet, execution: str, type_: str, path: str) -> int:
    ((count,),) = fleet.query(
        "SELECT count(*) FROM executions_event "
        "WHERE execution_id = %s AND type = %s AND path = %s",
        execution,
        type_,
        path,
    )
    return int(count)


def started_waiting(fleet: Fleet, *steps: Written, path: str = "w") -> str:
    execution = fleet.execute(fleet.orchestration(*steps))
    seen_at(fleet, execution, path, "waiting")
    return execution


def test_what_falls_due_without_a_reconciler_fires_once_when_two_are_back(
    fleet: Fleet,
) -> None:
    # Given timers, deadlines of events and of questions, in loops and maps as well,
    # while the reconciler is down
    fleet.kill(RECONCILER)
    name, effect = next(_names), fleet.role("fault.effect")
    after = inner("after", effect)
    late: dict[str, Any] = {"timeout_ms": 4_000}
    nap = wait("nap", duration_ms=4_000)
    shapes = [
        (wait(duration_ms=4_000), after),
        (wait(event=name, on_timeout="continue", **late), after),
        (ask("w", on_timeout="approve", **late), after),
        (loop("w", {"count": 1}, nap, inner("turn", effect)), after),
        (each("w", [1, 2], nap, inner("on", effect)), after),
    ]
    made = [fleet.orchestration(*steps) for steps in shapes]
    executions = [fleet.execute(each) for each in made for _ in range(MANY // 4)]
    for execution in executions:
        has_status(fleet, execution, "waiting")

    # And an event to all that was posted while nobody could hand it out
    many = fleet.orchestration(wait(event=f"{name}.all"), after)
    listening = [fleet.execute(many) for _ in range(MANY)]
    for execution in listening:
        has_status(fleet, execution, "waiting")

    # When all of them fall due
    fleet.post("events/", {"name": f"{name}.all", "payload": 1}, status=202)
    watch(5)
    begun = fleet.begun().get("after", 0)
    assert begun <= len(listening)

    # And two come back, of which one is killed in the middle of it
    fleet.launch(RECONCILER)
    fleet.launch(RECONCILER_2)
    until(lambda: fleet.begun().get("after", 0) > len(listening), what="the first")
    ((elected,),) = fleet.query(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a "
        "ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"
    )
    fleet.kill(elected)

    # Then each fires once
    for execution in executions + listening:
        ended = fleet.finished(execution, seconds=40)
        assert ended["status"] == "completed", ended["error"]
        fired = event_count(fleet, execution, "step.completed", "w")
        assert (fired, by_path(ended, "attempt")["w"]) == (1, 1)
    quarter = MANY // 4
    assert fleet.begun() == {
        "after": len(executions) + len(listening),
        "turn": quarter,
        "on": 2 * quarter,
    }


# As an operator does who finds that days are too long.
BRING_NEAR = """
WITH sooner AS (
  UPDATE executions_steprun SET retry_at = retry_at - interval '3 days'
  WHERE execution_id = %s AND retry_at IS NOT NULL RETURNING execution_id, retry_at),
asked AS (
  UPDATE executions_approval SET expires_at = expires_at - interval '3 days'
  WHERE execution_id = %s AND decision IS NULL RETURNING id)
UPDATE executions_execution x SET wake_at = sooner.retry_at
FROM sooner WHERE x.id = sooner.execution_id RETURNING x.wake_at <= now()
"""


def far_away(fleet: Fleet) -> dict[str, str]:
    """Start one of each that waits for three days."""
    effect = fleet.role("fault.effect")
    three = 3 * DAY_MS
    retry = {
        "max_retries": 1,
        "retry_delay_ms": DAY_MS,
        "retry_max_delay_ms": DAY_MS,
    }
    late = inner("late", fleet.role("fault.succeed_later"), **retry)
    shapes = {
        "retry": loop("w", {"count": 1}, late),
        "timer": wait(duration_ms=three),
        "event": wait(event="never.comes", timeout_ms=three, on_timeout="continue"),
        "ask": ask("w", timeout_ms=three, on_timeout="approve"),
        "inside": each("w", [1, 2], wait("far", duration_ms=three)),
    }
    executions = {
        name: fleet.execute(
            fleet.orchestration(
                shape, inner(f"after_{name}", effect), timeout_ms=30 * DAY_MS
            )
        )
        for name, shape in shapes.items()
    }
    for name, execution in executions.items():
        path = "w[0]/late" if name == "retry" else "w"
        status = "retrying" if name == "retry" else "waiting"
        seen_at(fleet, execution, path, status)
    return executions


def test_what_waits_for_days_outlives_everything_and_fires_once_at_its_time(
    fleet: Fleet,
) -> None:
    # Given a retry a day away, and timers, an event and a question three days away
    executions = far_away(fleet)
    begun = fleet.begun()
    assert begun == {"late": 1}
    before = {name: still(fleet, each) for name, each in executions.items()}

    # When workers and reconciler are restarted, and the broker has lost everything
    restart_all(fleet)

    # Then nothing has moved
    assert {name: still(fleet, each) for name, each in executions.items()} == before
    assert fleet.begun() == begun

    # When the days are over, and two reconcilers look at it
    fleet.restart(RECONCILER_2)
    for execution in executions.values():
        assert (True,) in fleet.query(BRING_NEAR, execution, execution)

    # Then each fires once, and what follows it runs once
    for execution in executions.values():
        ended = fleet.finished(execution, seconds=20)
        assert ended["status"] == "completed", ended["error"]
        assert event_count(fleet, execution, "step.completed", "w") == 1
    assert fleet.begun() == {"late": 2} | {f"after_{name}": 1 for name in executions}


def still(fleet: Fleet, execution: str) -> tuple[Any, ...]:
    found = fleet.execution(execution)
    assert found["waiting_on"] is not None, found
    return found["waiting_on"]["kind"], by_path(found, "status")


def test_of_those_who_answer_at_once_too_late_or_in_anothers_name_one_wins(
    fleet: Fleet,
) -> None:
    # Given a question
    after = inner("after", fleet.role("fault.effect"))
    made = fleet.orchestration(ask(), after)
    execution = fleet.execute(made)
    question = question_of(fleet, execution)
    link = fleet.post(f"approvals/{question}/link/", {}, status=200)
    base = f"http://127.0.0.1:{fleet.port}"

    # When somebody answers who may not, nothing comes of it
    with stranger(fleet) as mallory:
        for verb in ("approve", "reject", "link"):
            answer = mallory.post(f"approvals/{question}/{verb}/", json={})
            assert answer.status_code in (403, 404), answer.text

    # When two approve at once, and two use the same link at that moment
    clients = [httpx.Client(base_url=base, timeout=20) for _ in range(2)]

    def by_link(client: httpx.Client) -> int:
        path = urlsplit(link["url"]).path
        page = client.get(path)
        if page.status_code != 200:
            return page.status_code
        token = page.text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
        given = {"decision": "approved", "csrfmiddlewaretoken": token}
        return client.post(path, data=given).status_code

    def by_name() -> int:
        path = f"approvals/{question}/approve/"
        return fleet.client.post(path, json={}).status_code

    came = at_once(
        by_name, by_name, lambda: by_link(clients[0]), lambda: by_link(clients[1])
    )

    # Then one of them wins, and whoever comes with the link again is refused
    assert came.count(200) == 1, came
    assert set(came) <= {200, 409, 410}, came
    assert [by_link(client) for client in clients] == [410, 410]
    for client in clients:
        client.close()
    assert fleet.finished(execution)["status"] == "completed"
    assert event_count(fleet, execution, "step.answered", "ask") == 1
    assert fleet.begun() == {"after": 1}

    # And an answer that comes as the time ends is one of two: in time, or too late
    short = fleet.orchestration(ask(timeout_ms=1_500, on_timeout="reject"), after)
    executions = [fleet.execute(short) for _ in range(8)]
    questions = [question_of(fleet, each) for each in executions]

    def in_the_last_moment(place: int) -> int:
        watch(1.1 + place * 0.1)
        path = f"approvals/{questions[place]}/approve/"
        return fleet.client.post(path, json={}).status_code

    codes = in_crowds(in_the_last_moment, range(8), people=8)
    for execution, code in zip(executions, codes, strict=True):
        ended = fleet.finished(execution)
        assert ended["status"] == {200: "completed", 409: "failed"}[code]
        assert event_count(fleet, execution, "step.answered", "ask") == 1
    late = fleet.client.post(f"approvals/{questions[0]}/approve/", json={})
    assert (late.status_code, late.json()["code"]) == (409, "already_decided")


def test_an_event_of_twenty_megabytes_is_refused(fleet: Fleet) -> None:
    # Given a step that waits for an event
    name = next(_names)
    execution = started_waiting(fleet, wait(event=name))

    # When one is posted that is far too large, to all or to it
    body = {"name": name, "payload": "x" * 20_000_000}
    for path in ("events/", f"executions/{execution}/signal/"):
        answer = fleet.client.post(path, json=body)

        # Then it is refused, and nobody has heard of it
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert fleet.execution(execution)["status"] == "waiting"

    # And one that is not too large comes through
    large = {"name": name, "payload": "x" * 1_000_000}
    fleet.post("events/", large, status=202)
    assert fleet.finished(execution)["status"] == "completed"


def test_an_event_repeated_or_sent_while_the_broker_is_away_is_taken_once(
    fleet: Fleet,
) -> None:
    # Given a loop whose every turn waits for an event, and a broker that is away
    name, effect = next(_names), fleet.role("fault.effect")
    turns = loop("l", {"count": 3}, wait(event=name), inner("turn", effect))
    execution = started_waiting(fleet, turns, path="l[0]/w")
    fleet.valkey.kill()

    # When each of two events is sent three times under its key, by several at once
    def send(number: int) -> int:
        answer = fleet.client.post(
            "events/",
            json={"name": name, "payload": number},
            headers={"Idempotency-Key": f"{name}-{number}"},
        )
        return answer.status_code

    assert set(in_crowds(send, [1, 1, 1, 2, 2, 2], people=6)) <= {200, 202}
    fleet.valkey.start(empty=True)

    # Then two turns are over, and the third one waits
    seen_at(fleet, execution, "l[2]/w", "waiting")
    assert fleet.begun() == {"turn": 2}
    assert send(3) == 202
    assert fleet.finished(execution)["status"] == "completed"
    assert fleet.begun() == {"turn": 3}


# --- cancelling and pausing -------------------------------------------------------------


def everywhere(fleet: Fleet) -> dict[str, tuple[str, str, str]]:
    """Start what waits or works inside of bodies; give path and status to look for."""
    hold, effect = fleet.role("fault.ahold"), fleet.role("fault.effect")
    name, after = next(_names), inner("after", effect)
    work = inner("work", hold, given={"release": "go"})
    child = fleet.orchestration({**wait("nap", duration_ms=DAY_MS)})
    calls = {
        "key": "call",
        "step_type": "orchestration",
        "config": {"orchestration_name": child["name"]},
    }
    shapes = {
        "loop": (loop("x", {"count": 3}, work), "x[0]/work", "running"),
        "map": (
            each("x", [1, 2, 3], work, config={"max_parallel": 2}),
            "x[1]/work",
            "running",
        ),
        "parallel": (
            abreast("x", {}, work, wait("nap", duration_ms=DAY_MS)),
            "x[work]/work",
            "running",
        ),
        "timer": (each("x", [1, 2], wait(duration_ms=DAY_MS)), "x[1]/w", "waiting"),
        "event": (loop("x", {"count": 2}, wait(event=name)), "x[0]/w", "waiting"),
        "question": (each("x", [1, 2], ask()), "x[1]/ask", "waiting"),
        "child": (each("x", [1, 2], calls), "x[1]/call", "waiting"),
    }
    found = {}
    for kind, (shape, path, status) in shapes.items():
        made = fleet.orchestration(shape, after)
        found[kind] = (fleet.execute(made), path, status)
    for execution, path, status in found.values():
        seen_at(fleet, execution, path, status)
    return found


def longest_wait(fleet: Fleet, executions: list[str]) -> float:
    ((seconds,),) = fleet.query(
        "SELECT max(extract(epoch FROM"
        "  finished_at - (cancel_request->>'at')::timestamptz))::float8 "
        "FROM executions_execution WHERE id::text = ANY(%s)",
        executions,
    )
    return float(seconds)


def outcomes(fleet: Fleet, execution: str) -> int:
    ends = [f"execution.{status}" for status in TERMINAL]
    sql = "SELECT type FROM executions_event WHERE execution_id = %s AND type = ANY(%s)"
    return len(fleet.query(sql, execution, ends))


@pytest.mark.parametrize("paused", [False, True])
def test_whatever_a_body_does_a_cancellation_ends_it_soon_and_for_good(
    fleet: Fleet, paused: bool
) -> None:
    # Given bodies at work and bodies that wait, for all there is to wait for
    found = everywhere(fleet)
    executions = [execution for execution, _, _ in found.values()]
    begun = until(
        lambda: (seen := fleet.begun()).get("work") == 4 and seen, what="work"
    )
    if paused:
        for execution in executions:
            fleet.post(f"executions/{execution}/pause/", None, status=200)

    # When all are cancelled
    asked = time.monotonic()
    for execution in executions:
        fleet.post(f"executions/{execution}/cancel/", {}, status=200)

    # Then all are over soon, with one outcome
    for execution in executions:
        ended = fleet.finished(execution)
        assert ended["status"] == "cancelled"
        assert set(by_path(ended, "status").values()) == {"cancelled"}
        assert outcomes(fleet, execution) == 1
    assert time.monotonic() - asked < SOON_S + 5
    assert longest_wait(fleet, executions) < SOON_S

    # And so are the children
    children = fleet.query(
        "SELECT id::text FROM executions_execution WHERE parent_execution_id = %s",
        found["child"][0],
    )
    assert len(children) == 2
    for (child,) in children:
        assert fleet.finished(child, seconds=SOON_S)["status"] == "cancelled"

    # And nothing starts afterwards, whoever answers or posts now
    fleet.release("go")
    fleet.query(
        "UPDATE executions_execution SET wake_at = now() WHERE id::text = ANY(%s) "
        "AND finished_at IS NULL RETURNING id",
        executions,
    )
    later = fleet.orchestration(step("later", fleet.role("fault.effect")))
    assert fleet.finished(fleet.execute(later))["status"] == "completed"
    assert fleet.begun() == {**begun, "later": 1}


def test_queued_frames_of_what_was_cancelled_never_begin(fleet: Fleet) -> None:
    # Given loops and maps in the queue, and nobody to take them
    work = inner("work", fleet.role("fault.effect"))
    made = [
        fleet.orchestration(loop("x", {"count": 2}, work)),
        fleet.orchestration(each("x", [1, 2, 3], work)),
    ]
    for name in (CPU, CPU_2, IO):
        fleet.kill(name)
    executions = [fleet.execute(each) for each in made for _ in range(3)]

    # When they are cancelled, they are over with that
    for execution in executions:
        path = f"executions/{execution}/cancel/"
        assert fleet.post(path, {}, status=200)["status"] == "cancelled"

    # And when workers come, nothing of them begins
    fleet.heal()
    later = fleet.orchestration(step("later", fleet.role("fault.effect")))
    assert fleet.finished(fleet.execute(later))["status"] == "completed"
    assert fleet.begun() == {"later": 1}


def test_in_the_instant_of_its_success_a_body_has_one_outcome(fleet: Fleet) -> None:
    # Given loops and maps whose last step is about to end, and waits about to be over
    hold = fleet.role("fault.ahold")
    work = inner("work", hold, given={"release": "now"})
    shapes = [loop("x", {"count": 1}, work), each("x", [1, 2], work)]
    executions = [
        fleet.execute(fleet.orchestration(shape)) for shape in shapes for _ in range(12)
    ]
    until(lambda: fleet.begun() == {"work": 36}, what="work")
    nap = fleet.orchestration(each("x", [1, 2], wait(duration_ms=2_000)))
    executions += [fleet.execute(nap) for _ in range(12)]
    mixed = executions[::2] + executions[1::2]

    # When it ends while people cancel them
    def cancel_in_time(execution: str) -> int:
        if execution == mixed[10]:
            fleet.release("now")
        if execution == mixed[-1]:
            fleet.finished(execution)
        return fleet.client.post(f"executions/{execution}/cancel/").status_code

    answers = dict(zip(mixed, in_crowds(cancel_in_time, mixed, people=4), strict=True))

    # Then each has come to one end, and who was too late was told so
    ends = {each: fleet.finished(each)["status"] for each in executions}
    assert ends == {
        execution: {200: "cancelled", 409: "completed"}[code]
        for execution, code in answers.items()
    }
    assert set(ends.values()) == {"cancelled", "completed"}
    assert {outcomes(fleet, each) for each in executions} == {1}
    assert longest_wait(fleet, executions) < SOON_S


def test_pausing_and_resuming_bodies_under_load_loses_and_repeats_nothing(
    fleet: Fleet,
) -> None:
    # Given loops, maps and waits under way
    name, effect = next(_names), fleet.role("fault.effect")
    io = fleet.role("fault.apause")
    made = fleet.orchestration(
        loop("l", {"count": 2}, wait("nap", duration_ms=300), inner("turn", io)),
        each("m", [1, 2, 3], inner("one", io), inner("on", effect)),
        wait(event=name),
        inner("last", effect),
    )
    executions = [fleet.execute(made) for _ in range(16)]

    # When people pause and resume each of them, and an event comes meanwhile
    def press(execution: str) -> list[int]:
        if execution == executions[8]:
            fleet.post("events/", {"name": name}, status=202)
        paths = [f"executions/{execution}/{verb}/" for verb in ("pause", "resume")]
        return [fleet.client.post(path).status_code for path in paths * 3]

    answers = in_crowds(press, executions, people=4)
    assert {code for codes in answers for code in codes} <= {200, 409}

    # Then all come to their end, every step done once
    for execution in executions:
        assert fleet.finished(execution, seconds=60)["status"] == "completed"
    each_one = {"turn": 2, "one": 3, "on": 3, "last": 1}
    assert fleet.begun() == {key: 16 * count for key, count in each_one.items()}


@pytest.mark.parametrize("paused", [False, True])
def test_a_timer_that_falls_due_while_another_is_seen_to_fires_as_well(
    fleet: Fleet, paused: bool
) -> None:
    # Given two timers, one after the other
    naps = wait(duration_ms="{{ item }}")
    execution = started_waiting(fleet, each("m", [2_000, 5_000], naps), path="m[1]/w")
    if paused:
        fleet.post(f"executions/{execution}/pause/", None, status=200)
        watch(2)

    # When the second falls due while somebody still sees to the first
    with at_hearing(fleet) as stall:
        path = f"executions/{execution}/resume/"
        resume = [lambda: fleet.client.post(path)] if paused else []
        at_once(lambda: _let_go(stall), *resume)

    # Then both fire
    assert fleet.finished(execution, seconds=20)["status"] == "completed"


def _let_go(stall: Stall) -> None:
    stall.await_names(1)
    watch(5)
    stall.release()
