"""
Crowds: of executions on one io worker, whose threads share a few connections, and of
members of one group, of which many travel in a message.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.system import System, step, until

pytestmark = pytest.mark.acceptance


def test_a_crowd_loses_no_message_and_no_lease(system: System) -> None:
    wait, same = system.role("time.delay"), system.role("util.identity")
    group = [
        step(f"m{n}", wait, parallel_group="g", input_mapping={"ms": 100})
        for n in range(4)
    ]
    made = system.orchestration(
        step("first", wait, input_mapping={"ms": 2500}), *group, step("last", same)
    )

    ids = [system.execute(made) for _ in range(80)]

    ends = [system.finished(one, seconds=90)["status"] for one in ids]
    assert ends == ["completed"] * 80
    odd = system.database.execute(
        "SELECT count(*) FILTER (WHERE e.resends > 0), "
        "count(*) FILTER (WHERE s.crashes > 0) FROM executions_execution e "
        "JOIN executions_steprun s ON s.execution_id = e.id "
        "WHERE e.orchestration_id = %s",
        [made["id"]],
    ).fetchone()
    assert odd == (0, 0)


@pytest.fixture
def second_worker(system: System) -> Iterator[None]:
    """Have another cpu worker, so that three busy processes leave one free."""
    specs = replace(system.application, workers=2).specs()
    spec = next(spec for spec in specs if spec.name == "worker-cpu-2")
    child = system.start_one(spec)

    def ready() -> bool:
        row = system.database.execute(
            "SELECT count(*) FROM executions_worker "
            "WHERE lease_until > now() AND queues ? 'cpu'"
        ).fetchone()
        return row is not None and row[0] >= 4

    until(ready, what="four processes")
    yield
    child.signal(signal.SIGTERM)
    child.wait(10)
    system.kill("worker-cpu-2")


@pytest.mark.usefixtures("second_worker")
def test_long_members_keep_nobody_behind_them_waiting(
    system: System, traces: Path
) -> None:
    # Given a group of 200 no-ops, three of which take until they are let go
    hold, same = system.role("test.hold"), system.role("util.identity")
    long = {f"m{n}" for n in (0, 50, 199)}
    members = [step(f"m{n}", same, parallel_group="g") for n in range(200)]
    for member in members:
        if (name := member["name"]) in long:
            given = {"trace": f"crowd-{name}", "seconds": 60, "release": "crowd-go"}
            member |= {"role_name": hold, "input_mapping": given}
    made = system.orchestration(*members, step("last", same))

    # When everybody else is done
    execution = system.execute(made)

    def others_done() -> bool:
        row = system.database.execute(
            "SELECT count(*) FROM executions_steprun "
            "WHERE execution_id = %s AND status = 'completed'",
            [execution],
        ).fetchone()
        return row == (197,)

    until(others_done, seconds=60, what="the end of the short ones")

    # Then the long ones are still at it, and everything completes when they end
    running = system.database.execute(
        "SELECT path FROM executions_steprun "
        "WHERE execution_id = %s AND status = 'running'",
        [execution],
    ).fetchall()
    assert {path for (path,) in running} == long
    (traces / "crowd-go").touch()
    assert system.finished(execution, seconds=60)["status"] == "completed"
    odd = system.database.execute(
        "SELECT count(*), count(*) FILTER (WHERE s.attempt <> 1), "
        "count(*) FILTER (WHERE s.crashes > 0), max(e.resends) "
        "FROM executions_execution e JOIN executions_steprun s "
        "ON s.execution_id = e.id WHERE e.id = %s",
        [execution],
    ).fetchone()
    assert odd == (201, 0, 0, 0)
    twice = system.database.execute(
        "SELECT path, type FROM executions_event WHERE execution_id = %s "
        "GROUP BY path, type HAVING count(*) > 1",
        [execution],
    ).fetchall()
    assert twice == []
    for name in long:
        assert len((traces / f"crowd-{name}").read_text().splitlines()) == 1


def test_members_that_take_their_time_share_two_processes(system: System) -> None:
    # Given more long members than processes, each with short ones around it
    same, hold = system.role("util.identity"), system.role("test.hold")
    members = [step(f"m{n}", same, parallel_group="g") for n in range(200)]
    for n in (0, 50, 199):
        given = {"trace": f"share-m{n}", "seconds": 1}
        members[n] |= {"role_name": hold, "input_mapping": given}

    # When it is done
    ended = system.run(*members, seconds=60)

    # Then nothing was lost, sent again, or done twice on the way
    assert ended["status"] == "completed"
    odd = system.database.execute(
        "SELECT count(*) FILTER (WHERE s.attempt = 1 AND s.status = 'completed'), "
        "count(*) FILTER (WHERE s.finished_at < s.started_at), max(e.resends) "
        "FROM executions_execution e JOIN executions_steprun s "
        "ON s.execution_id = e.id WHERE e.id = %s",
        [ended["id"]],
    ).fetchone()
    assert odd == (200, 0, 0)
    # ... and who stood before the last in its message did not wait for it
    before = system.database.execute(
        "SELECT bool_and(b.finished_at < l.finished_at) "
        "FROM executions_steprun l JOIN executions_steprun b "
        "ON b.execution_id = l.execution_id AND b.ordinal BETWEEN 190 AND 198 "
        "WHERE l.execution_id = %s AND l.path = 'm199'",
        [ended["id"]],
    ).fetchone()
    assert before == (True,)


def test_a_member_that_kills_its_process_takes_no_other_with_it(
    system: System,
) -> None:
    # Given a group whose members travel ten to a message, one of which is poison
    same, exit_ = system.role("util.identity"), system.role("test.exit")
    members = [step(f"m{n}", same, parallel_group="g") for n in range(40)]
    given = {"trace": "crowd-poison"}
    poison = {"role_name": exit_, "input_mapping": given, "on_error": "continue"}
    members[7] |= poison

    # When it has been given up
    ended = system.run(*members, seconds=150)

    # Then everybody else is done, whether it was recorded before or lost with it
    assert ended["status"] == "completed"
    rows = system.database.execute(
        "SELECT path, status, crashes, attempt FROM executions_steprun "
        "WHERE execution_id = %s AND (status <> 'completed' OR crashes > 0)",
        [ended["id"]],
    ).fetchall()
    lost = {path: (status, crashes) for path, status, crashes, _ in rows}
    assert lost.pop("m7")[0] == "failed"
    assert set(lost) <= {f"m{n}" for n in range(10)}
    assert set(lost.values()) <= {("completed", 1)}
