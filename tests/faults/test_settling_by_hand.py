"""Steps that may run at most once, and people who say what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import Fleet
from tests.faults.people import at_once, stranger
from tests.faults.processes import IO
from tests.faults.upheaval import restart_all

pytestmark = pytest.mark.fault

COMPLETE = {"path": "once", "action": "complete", "output": {"sent": True}}
FAIL = {"path": "once", "action": "fail", "reason": "It was never sent."}
RUN_AGAIN = {"path": "once", "action": "run_again"}


@pytest.fixture(scope="module")
def mallory(whole_fleet: Fleet) -> Iterator[httpx.Client]:
    with stranger(whole_fleet) as client:
        yield client


@pytest.mark.slow
def test_a_step_that_may_run_once_waits_through_all_restarts_for_a_person(
    fleet: Fleet,
) -> None:
    # Given steps that may run at most once, whose worker was killed
    completed, failed, again = needing_attention(fleet, 3)

    # When everything is restarted
    fleet.halt_postgres()
    fleet.postgres.start()
    restart_all(fleet)

    # Then none has run again, and each still says what it needs
    assert fleet.begun() == {"once": 3}
    for execution in (completed, failed, again):
        assert fleet.execution(execution)["waiting_on"]["kind"] == "needs_attention"

    # And each goes on as somebody says
    for execution, answer in zip(
        (completed, failed, again), (COMPLETE, FAIL, RUN_AGAIN), strict=True
    ):
        fleet.post(f"executions/{execution}/settle/", answer, status=200)
    fleet.release("again")
    assert outcome(fleet, completed) == ("completed", "completed", {"sent": True})
    assert outcome(fleet, failed) == ("failed", "failed", None)
    assert outcome(fleet, again) == ("completed", "completed", 2)
    assert fleet.begun() == {"once": 4, "after": 2}


def test_of_two_answers_at_once_one_wins_and_the_other_hears_of_it(
    fleet: Fleet, mallory: httpx.Client
) -> None:
    # Given steps that wait for a decision
    executions = needing_attention(fleet, 6)

    # When somebody else decides, he is told nothing, and nothing changes
    for answer in (COMPLETE, FAIL, RUN_AGAIN):
        path = f"executions/{executions[0]}/settle/"
        assert mallory.post(path, json=answer).status_code == 404
        assert mallory.post(path, json={}).status_code == 404

    # When two people decide differently at once
    for execution in executions:
        first, second = at_once(
            lambda: settle(fleet, execution, COMPLETE),  # noqa: B023
            lambda: settle(fleet, execution, FAIL),  # noqa: B023
        )

        # Then one of them wins, and the other is told what it is now
        assert sorted((first.status_code, second.status_code)) == [200, 409]
        won, lost = (first, second) if first.is_success else (second, first)
        status = "completed" if first.is_success else "failed"
        assert logs_by_key(won.json())["once"]["status"] == status
        assert lost.json()["code"] == "needs_no_attention"
        assert status in lost.json()["detail"]

        # And whoever repeats either request gets the same answer again
        ended = fleet.finished(execution)
        assert ended["status"] == status
        assert settle(fleet, execution, COMPLETE).status_code == first.status_code
        assert settle(fleet, execution, FAIL).status_code == second.status_code
        otherwise = settle(fleet, execution, {**COMPLETE, "output": {"sent": False}})
        assert otherwise.status_code == 409
        assert fleet.execution(execution) == ended
    decided = [each[0] for each in fleet.query(DECISIONS, executions)]
    assert len(decided) == len(executions)


def test_a_step_that_failed_by_itself_is_not_run_again_by_hand(fleet: Fleet) -> None:
    # Given executions that failed, and one that went on after a failure
    bad = step("once", fleet.role("test.fail"), at_most_once=True)
    after = step("after", fleet.role("fault.effect"))
    failed, gone_on = fleet.run(bad), fleet.run({**bad, "on_error": "continue"}, after)

    # When somebody wants their steps to run again, as if they needed attention
    for execution in (failed, gone_on):
        answer = settle(fleet, execution["id"], RUN_AGAIN)

        # Then that is refused, and nothing has changed
        assert (answer.status_code, answer.json()["code"]) == (
            409,
            "needs_no_attention",
        )
        assert fleet.execution(execution["id"]) == execution


DECISIONS = """
SELECT data->>'action' FROM executions_event
WHERE type = 'step.settled_by_hand' AND execution_id::text = ANY(%s)
"""


def settle(fleet: Fleet, execution: str, answer: dict[str, Any]) -> httpx.Response:
    """Settle, and again after a 503: PostgreSQL may just have been restarted."""

    def answered() -> httpx.Response | None:
        came = fleet.client.post(f"executions/{execution}/settle/", json=answer)
        return None if came.status_code == 503 else came

    came: httpx.Response = until(answered, what="an answer")
    return came


def needing_attention(fleet: Fleet, count: int) -> list[str]:
    """Make executions whose step may run once, and kill their worker."""
    hold = fleet.role("fault.ahold")
    once = step("once", hold, at_most_once=True, input_mapping={"release": "again"})
    made = fleet.orchestration(once, step("after", fleet.role("fault.effect")))
    executions = [fleet.execute(made) for _ in range(count)]
    until(lambda: fleet.begun() == {"once": count}, what="work")
    fleet.kill(IO)
    until(
        lambda: all(is_aside(fleet, execution) for execution in executions),
        what="calls for attention",
    )
    fleet.launch(IO)
    return executions


def is_aside(fleet: Fleet, execution: str) -> bool:
    log = logs_by_key(fleet.execution(execution))["once"]
    return bool(log["status"] == "needs_attention")


def outcome(fleet: Fleet, execution: str) -> tuple[str, str, Any]:
    ended = fleet.finished(execution)
    once = logs_by_key(ended)["once"]
    return ended["status"], once["status"], once["output"]
