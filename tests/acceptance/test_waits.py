"""Waits for the clock and for events, on real workers and through HTTP."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import httpx
import pytest

from tests.acceptance.bodies import (
    Written,
    by_path,
    case,
    each,
    has_status,
    inner,
    loop,
    route,
    seen_at,
    steer,
)
from tests.acceptance.system import TERMINAL, System, until

pytestmark = pytest.mark.acceptance

_numbers = itertools.count(1)
HOUR_MS = 3_600_000
ALWAYS = {"field": "context.input", "operator": "exists"}


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture
def name() -> str:
    """A name for events that no other test waits for."""
    return f"event.{next(_numbers)}"


def wait(key: str = "w", **config: Any) -> Written:
    names = ("condition", "on_error", "output_mapping", "parallel_group")
    fields = {name: config.pop(name) for name in names if name in config}
    return {"key": key, "step_type": "wait", "config": config, **fields}


def waiting(system: System, *steps: Written, given: Any = None, path: str = "w") -> str:
    """Start an execution, and wait until it waits."""
    execution = system.execute(system.orchestration(*steps), given)
    seen_at(system, execution, path, "waiting")
    return execution


def post(system: System, name: str, payload: Any = None) -> Any:
    return system.post("events/", {"name": name, "payload": payload}, status=202)


def send(system: System, execution: str, name: str, payload: Any = None) -> Any:
    body = {"name": name, "payload": payload}
    return system.post(f"executions/{execution}/signal/", body, status=202)


def output_of(execution: Mapping[str, Any], path: str = "w") -> Any:
    return by_path(execution, "output")[path]


def seconds_of(execution: Mapping[str, Any], path: str = "w") -> float:
    return float(by_path(execution, "duration_ms")[path]) / 1000


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# --- the clock --------------------------------------------------------------------------


def test_a_duration_passes_and_the_output_stays(system: System, same: str) -> None:
    ended = system.run(
        inner("before", same, given={"n": 1}),
        wait(duration_ms=1500),
        inner("after", same),
    )
    assert ended["status"] == "completed"
    assert [output_of(ended, path) for path in ("w", "after")] == [{"n": 1}] * 2
    assert 1.5 <= seconds_of(ended) < 6


def test_a_duration_may_be_a_template(system: System) -> None:
    times = wait(duration_ms="{{ context.input.ms }}")
    ended = system.run(times, given={"ms": 100})
    assert ended["status"] == "completed"
    bad = system.run(times, given={"ms": "soon"})
    assert (bad["status"], bad["error"]["type"]) == ("failed", "bad_duration")


@pytest.mark.parametrize("when", ["2001-02-03T04:05:06Z", "2001-02-03T04:05:06+05:00"])
def test_a_moment_that_is_past_ends_the_wait(system: System, when: str) -> None:
    ended = system.run(wait(until=when))
    assert ended["status"] == "completed"


def test_a_moment_comes(system: System) -> None:
    until_then = wait(until="{{ context.input.at }}")
    given = {"at": in_seconds(2)}
    ended = system.run(until_then, given=given)
    assert ended["status"] == "completed"
    finished = datetime.fromisoformat(ended["finished_at"])
    assert finished >= datetime.fromisoformat(given["at"])
    bad = system.run(until_then, given={"at": "tomorrow"})
    assert (bad["status"], bad["error"]["type"]) == ("failed", "bad_time")


def test_waits_at_once_take_as_long_as_the_longest(system: System) -> None:
    members = [
        wait(key, duration_ms=ms, parallel_group="g")
        for key, ms in (("a", 1500), ("b", 500), ("c", 1000))
    ]
    ended = system.run(*members)
    assert ended["status"] == "completed"
    assert ended["duration_ms"] < 6000


def test_waits_in_bodies(system: System, same: str) -> None:
    pause = wait("pause", duration_ms=200)
    ended = system.run(
        loop("l", {"count": 2}, pause),
        each("m", [1, 2, 3], wait("beat", duration_ms=200), inner("id", same)),
        route("r", {"cases": [case("nap", ALWAYS)]}, wait("nap", duration_ms=200)),
    )
    assert ended["status"] == "completed"
    assert output_of(ended, "m") == [1, 2, 3]


def test_many_waits_take_no_worker(system: System, same: str) -> None:
    """While far more wait than there are slots, others do their work."""
    execution = waiting(
        system,
        each(
            "m",
            list(range(100)),
            wait(duration_ms=HOUR_MS),
            config={"max_parallel": 100},
        ),
        path="m[99]/w",
    )
    has_status(system, execution, "waiting")
    assert system.run(inner("a", same), seconds=10)["status"] == "completed"
    steer(system, execution, "cancel")
    ended = system.finished(execution)
    assert ended["status"] == "cancelled"
    assert set(by_path(ended, "status").values()) == {"cancelled"}


# --- events -----------------------------------------------------------------------------


def test_an_event_during_the_wait(system: System, same: str, name: str) -> None:
    execution = waiting(system, wait(event=name), inner("after", same))
    has_status(system, execution, "waiting")
    posted = post(system, name, {"n": 1})
    assert posted["delivered"] == 1
    ended = system.finished(execution)
    assert ended["status"] == "completed"
    assert [output_of(ended, path) for path in ("w", "after")] == [{"n": 1}] * 2


def test_an_event_before_the_wait(system: System, traces: Any, name: str) -> None:
    hold = system.role("test.hold")
    given = {"trace": name, "seconds": 30, "release": f"{name}.go"}
    made = system.orchestration(inner("hold", hold, given=given), wait(event=name))
    execution = system.execute(made)
    system.started(execution, "hold")
    assert post(system, name, "early")["delivered"] == 0
    (traces / f"{name}.go").touch()
    assert output_of(system.finished(execution)) == "early"


def test_an_event_before_the_wait_does_not_count_since_then(
    system: System, traces: Any, name: str
) -> None:
    hold = system.role("test.hold")
    given = {"trace": name, "seconds": 30, "release": f"{name}.go"}
    made = system.orchestration(
        inner("hold", hold, given=given), wait(event=name, since="wait")
    )
    execution = system.execute(made)
    system.started(execution, "hold")
    post(system, name, "early")
    (traces / f"{name}.go").touch()
    seen_at(system, execution, "w", "waiting")
    post(system, name, "in time")
    assert output_of(system.finished(execution)) == "in time"


def test_the_one_that_matches(system: System, name: str) -> None:
    match = {
        "field": "event.payload.order",
        "operator": "==",
        "value": "{{ context.input.order }}",
    }
    made = system.orchestration(wait(event=name, match=match))
    executions = [system.execute(made, {"order": order}) for order in (1, 2)]
    for execution in executions:
        seen_at(system, execution, "w", "waiting")
    assert post(system, name, {"order": 3})["delivered"] == 0
    assert post(system, name, {"order": 2})["delivered"] == 1
    assert output_of(system.finished(executions[1])) == {"order": 2}
    assert system.execution(executions[0])["status"] == "waiting"
    assert send(system, executions[0], name, {"order": 1})["delivered"] == 1
    assert output_of(system.finished(executions[0])) == {"order": 1}


@pytest.mark.parametrize(
    ("more", "status", "step"),
    [
        ({}, "failed", "timed_out"),
        ({"on_timeout": "fail", "on_error": "continue"}, "completed", "timed_out"),
        ({"on_timeout": "continue"}, "completed", "completed"),
    ],
)
def test_an_event_that_does_not_come(
    system: System, name: str, more: Mapping[str, Any], status: str, step: str
) -> None:
    ended = system.run(wait(event=name, timeout_ms=1000, **more))
    assert (ended["status"], by_path(ended, "status")["w"]) == (status, step)
    assert output_of(ended) is None
    if status == "failed":
        assert (ended["error"]["type"], ended["error"]["step_key"]) == (
            "timed_out",
            "w",
        )


def test_each_turn_of_a_loop_takes_one(system: System, same: str, name: str) -> None:
    turns = loop(
        "l",
        {"count": 20, "max_iterations": 20, "collect": "all"},
        wait(event=name),
        inner("id", same),
    )
    execution = waiting(system, turns, path="l[0]/w")
    for number in range(20):
        post(system, name, number)
    ended = system.finished(execution)
    assert ended["status"] == "completed"
    assert output_of(ended, "l") == list(range(20))


def test_many_executions_take_one_event(system: System, name: str) -> None:
    made = system.orchestration(wait(event=name))
    executions = [system.execute(made) for _ in range(120)]
    for execution in executions:
        has_status(system, execution, "waiting")
    posted = post(system, name, {"to": "all"})
    assert posted["delivered"] == 100  # what one request does; the others follow
    for execution in executions:
        assert output_of(system.finished(execution)) == {"to": "all"}


def test_senders_at_once_give_each_step_one(system: System, name: str) -> None:
    members = [wait(f"w{n}", event=name, parallel_group="g") for n in range(8)]
    execution = waiting(system, *members, path="w7")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: post(system, name, n), range(8)))
    ended = system.finished(execution)
    assert sorted(by_path(ended, "output").values()) == list(range(8))


# --- whose ------------------------------------------------------------------------------


def client_of(system: System, username: str) -> httpx.Client:
    """Make somebody who is no administrator, with a key."""
    prefix, secret = secrets.token_hex(4), secrets.token_hex(24)
    token = f"core_{prefix}_{secret}"
    system.database.execute(
        "WITH made AS (INSERT INTO auth_user (username, password, first_name, "
        "last_name, email, is_staff, is_superuser, is_active, date_joined) "
        "VALUES (%s, '', '', '', '', false, false, true, now()) RETURNING id) "
        "INSERT INTO roles_apikey (id, user_id, name, prefix, digest, created_at) "
        "SELECT gen_random_uuid(), id, 'test', %s, %s, now() FROM made",
        [username, prefix, hashlib.sha256(token.encode()).hexdigest()],
    )
    return httpx.Client(
        base_url=system.client.base_url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=20,
    )


def test_executions_of_others_are_untouched(system: System, name: str) -> None:
    body = {"name": f"Mine {name}", "steps": [wait(event=name)]}
    of_admin = waiting(system, wait(event=name))
    with (
        client_of(system, f"ada {name}") as ada,
        client_of(system, f"bob {name}") as bob,
    ):
        made = ada.post("orchestrations/", json=body).json()
        own = ada.post(f"orchestrations/{made['id']}/execute/", json={}).json()["id"]
        seen_at(system, own, "w", "waiting")
        assert bob.post("events/", json={"name": name}).json()["delivered"] == 0
        hidden = bob.post(f"executions/{own}/signal/", json={"name": name})
        assert hidden.status_code == 404
        assert ada.post("events/", json={"name": name}).json()["delivered"] == 1
    assert system.finished(own)["status"] == "completed"
    assert system.execution(of_admin)["status"] == "waiting"
    assert post(system, name)["delivered"] == 1
    assert system.finished(of_admin)["status"] == "completed"


# --- steering, and workers that go ------------------------------------------------------


@pytest.mark.parametrize("config", [{"duration_ms": HOUR_MS}, {"event": "never"}])
@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_what_waits_is_cancelled_at_once(
    system: System, config: Mapping[str, Any], verb: str
) -> None:
    execution = waiting(system, wait(**config))
    began = monotonic()
    steer(system, execution, verb)
    ended = system.finished(execution)
    assert monotonic() - began < 5
    assert (ended["status"], by_path(ended, "status")["w"]) == ("cancelled",) * 2


def test_a_timer_goes_on_after_a_pause(system: System) -> None:
    execution = waiting(system, wait(duration_ms=3000))
    steer(system, execution, "pause")
    has_status(system, execution, "paused")
    steer(system, execution, "resume")
    assert system.finished(execution)["status"] == "completed"


def test_an_event_during_a_pause_is_taken_afterwards(system: System, name: str) -> None:
    execution = waiting(system, wait(event=name))
    steer(system, execution, "pause")
    assert post(system, name, "meanwhile")["delivered"] == 0
    assert system.execution(execution)["status"] == "paused"
    steer(system, execution, "resume")
    assert output_of(system.finished(execution)) == "meanwhile"


def test_waits_outlive_their_workers(system: System, same: str, name: str) -> None:
    workers = ("worker-cpu-1", "worker-io-1")
    by_clock = waiting(system, wait(duration_ms=4000), inner("after", same))
    by_event = waiting(system, wait(event=name), inner("after", same))
    for worker in workers:
        system.kill(worker)
    assert post(system, name, 1)["delivered"] == 1
    for worker in workers:
        system.restart(worker)
    ends: Sequence[Any] = [
        system.finished(execution, seconds=90) for execution in (by_clock, by_event)
    ]
    assert [ended["status"] for ended in ends] == ["completed"] * 2
    assert [by_path(ended, "attempt")["w"] for ended in ends] == [1, 1]
    until(system._is_ready, seconds=60, what="the workers")


def test_what_is_waited_for_is_said(system: System, name: str) -> None:
    execution = waiting(system, wait(event=name, timeout_ms=HOUR_MS))
    answer = has_waiting_on(system, execution)
    assert answer["kind"] == "wait"
    assert name in answer["detail"]
    assert name in answer["help"]
    assert answer["expected"] is not None
    post(system, name)
    ended = system.finished(execution)
    assert ended["status"] in TERMINAL
    assert ended["waiting_on"] is None


def has_waiting_on(system: System, execution: str) -> Any:
    return until(
        lambda: system.execution(execution)["waiting_on"], what="what is waited for"
    )
