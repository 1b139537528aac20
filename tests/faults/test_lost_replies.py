"""Commits that succeed and whose replies are lost, with their connections."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import Fleet
from tests.faults.postgres_proxy import PostgresProxy
from tests.faults.processes import CPU, CPU_2, WEB

pytestmark = pytest.mark.fault

# By what a worker wants to have recorded: how its statement is recognised.
STATEMENTS = {
    "claim": r"^(?!.*done AS).*INSERT INTO executions_steprun\b",
    "settle": r"^\s*WITH\s+done AS \(\s*UPDATE executions_steprun s SET\s+"
    r"status = \$1, output",
    "settle_and_claim": r"done AS.*INSERT INTO executions_steprun\b",
    "settle_and_complete": r"SET status = 'completed', output",
    "advance": r"UPDATE executions_execution\s+SET cursor = ",
    "schedule_retry": r"status = 'retrying', error = ",
}

QUICK = {"settle_and_claim"}


@pytest.fixture(scope="module")
def network(whole_fleet: Fleet) -> Iterator[PostgresProxy]:
    """Have the web process and the one cpu worker reach PostgreSQL through a proxy."""
    names, socket = whole_fleet.names, whole_fleet.postgres_socket
    proxy = PostgresProxy(socket)
    proxy.start()
    whole_fleet.names = tuple(name for name in names if name != CPU_2)
    whole_fleet.base = {name: {"DATABASE_URL": proxy.url} for name in (WEB, CPU)}
    yield proxy
    whole_fleet.names, whole_fleet.base = names, {}
    proxy.stop()


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=() if what in QUICK else pytest.mark.slow)
        for what in STATEMENTS
    ],
)
def test_a_worker_recognises_its_own_commit_whose_reply_was_lost(
    network: PostgresProxy, fleet: Fleet, what: str
) -> None:
    # Given a worker on a network that loses the reply to one of its statements
    effect, moody = fleet.role("fault.effect"), fleet.role("fault.succeed_later")
    retried = {"max_retries": 1, "retry_delay_ms": 100}
    made = fleet.orchestration(
        step("first", effect),
        step("warm", effect),
        step("left", effect, parallel_group="g"),
        step("right", effect, parallel_group="g"),
        step("moody", moody, **retried),
        step("last", effect),
    )

    # When that happens
    network.lose_reply(STATEMENTS[what])
    ended = fleet.finished(fleet.execute(made))

    # Then nothing was done twice, and nothing counts as lost or failed
    assert len(network.lost) == 1
    assert ended["status"] == "completed"
    once = dict.fromkeys(("first", "warm", "left", "right", "last"), 1)
    assert fleet.begun() == once | {"moody": 2}
    attempts = {key: log["attempt"] for key, log in logs_by_key(ended).items()}
    assert attempts == once | {"moody": 2}


@pytest.mark.slow
def test_a_failure_whose_commit_lost_its_reply_is_recorded_once(
    network: PostgresProxy, fleet: Fleet
) -> None:
    # Given a worker on a network that loses the reply to a failure's COMMIT
    made = fleet.orchestration(step("bad", fleet.role("test.fail")))

    # When a step fails for good
    network.lose_reply(r"'execution.unwinding'")
    ended = fleet.finished(fleet.execute(made))

    # Then the execution has failed with that error
    assert len(network.lost) == 1
    assert (ended["status"], ended["error"]["type"]) == ("failed", "exception")


@pytest.mark.slow
def test_a_client_who_repeats_a_request_that_was_recorded_gets_that_execution(
    network: PostgresProxy, fleet: Fleet
) -> None:
    # Given a web process on a network that loses the reply to the recording
    effect = fleet.role("fault.effect")
    made = fleet.orchestration(step("only", effect))

    def ask() -> httpx.Response:
        return fleet.client.post(
            f"orchestrations/{made['id']}/execute/",
            json={"input": {}},
            headers={"Idempotency-Key": "once"},
        )

    # When a client is told to try again, and does, with the same key
    network.lose_reply(r"INSERT INTO executions_execution\b")
    first = ask()
    answer = until(lambda: accepted(ask()), what="an answer")

    # Then there is one execution, and it runs once
    assert len(network.lost) == 1
    assert first.status_code == 503
    assert fleet.finished(answer["id"])["status"] == "completed"
    assert fleet.begun() == {"only": 1}
    assert len(fleet.get("executions/?orchestration=" + made["id"])["results"]) == 1


def accepted(answer: httpx.Response) -> dict[str, str] | None:
    return answer.json() if answer.status_code == 202 else None
