"""Questions to people, asked and answered while real workers go on around them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
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
from tests.acceptance.system import System, step, until

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


def ask(key: str = "ask", config: Mapping[str, Any] | None = None) -> Written:
    return {"key": key, "step_type": "approval", "config": dict(config or {})}


def asked(system: System, execution_id: str, path: str = "ask") -> str:
    """Wait until a step asks, and return the question's id."""
    found = seen_at(system, execution_id, path, "waiting")
    question = by_path(found, "approval_id")[path]
    assert question is not None
    return str(question)


def say(system: System, question: str, verb: str = "approve", **body: Any) -> int:
    path = f"approvals/{question}/{verb}/"
    return int(system.client.post(path, json=body).status_code)


def events(system: System, execution_id: str, type_: str) -> list[Any]:
    rows = system.database.execute(
        "SELECT data FROM executions_event WHERE execution_id = %s AND type = %s",
        [execution_id, type_],
    )
    return [data for (data,) in rows]


def test_it_waits_without_a_worker_and_goes_on_with_the_answer(
    system: System, same: str
) -> None:
    form = {"type": "object", "required": ["amount"]}
    made = system.orchestration(
        step("before", same, input_mapping={"who": "ada"}),
        ask(config={"prompt": "Pay {{ output.who }}?", "form": form}),
        step("after", same, input_mapping="{{ output.amount }}"),
    )
    execution = system.execute(made)
    question = asked(system, execution)
    waiting = has_status(system, execution, "waiting")
    assert waiting
    assert system.get(f"approvals/{question}/")["prompt"] == "Pay ada?"
    assert system.execution(execution)["waiting_on"]["kind"] == "approval"

    assert say(system, question, answer={"amount": 3}) == 200

    ended = system.finished(execution)
    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == 3


def test_of_many_who_answer_at_once_one_does(system: System, same: str) -> None:
    made = system.orchestration(ask(config={"on_reject": "continue"}), step("b", same))
    for _ in range(5):
        execution = system.execute(made)
        question = asked(system, execution)
        verbs = ["approve", "reject"] * 4
        with ThreadPoolExecutor(len(verbs)) as pool:
            came = list(pool.map(partial(say, system, question), verbs))
        assert sorted(came) == [200] + [409] * 7
        ended = system.finished(execution)
        won = verbs[came.index(200)] == "approve"
        assert ended["context"]["b"]["approved"] is won
        assert len(events(system, execution, "step.answered")) == 1


def test_a_replayed_link_is_refused(system: System) -> None:
    execution = system.execute(system.orchestration(ask()))
    question = asked(system, execution)
    link = system.post(f"approvals/{question}/link/", {}, status=200)
    path = urlsplit(link["url"]).path
    with httpx.Client(base_url=f"http://127.0.0.1:{system.port}") as stranger:
        page = stranger.get(path)
        assert page.status_code == 200
        token = page.text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
        given = {"decision": "approved", "csrfmiddlewaretoken": token}
        answers = [stranger.post(path, data=given).status_code for _ in range(3)]
        assert answers == [200, 410, 410]
        assert stranger.get(path).status_code == 410
        assert stranger.get(path[:-3] + "x/").status_code == 403
    ended = system.finished(execution)
    assert ended["context"]["ask"]["by"] is None
    assert system.get(f"approvals/{question}/")["channel"] == "link"


def test_the_clock_decides_and_the_answer_comes_too_late(system: System) -> None:
    made = system.orchestration(ask(config={"timeout_ms": 300}))
    execution = system.execute(made)
    ended = system.finished(execution)
    assert (ended["status"], ended["error"]["type"]) == ("failed", "timed_out")
    assert by_path(ended, "status") == {"ask": "timed_out"}
    [question] = system.get(f"approvals/?execution={execution}")["results"]
    assert question["status"] == "expired"
    assert say(system, question["id"]) == 409


def test_others_are_asked_and_then_the_clock(system: System) -> None:
    config = {
        "users": ["nobody"],
        "timeout_ms": 4_000,
        "remind_every_ms": 500,
        "on_timeout": "escalate",
        "escalate_to": {
            "groups": ["bosses"],
            "timeout_ms": "{{ context.input.more }}",
            "on_timeout": "approve",
        },
    }
    made = system.orchestration(ask(config=config))
    execution = system.execute(made, {"more": 400})
    ended = system.finished(execution)
    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"] == {"approved": True, "by": None, "comment": ""}
    assert len(events(system, execution, "step.escalated")) == 1
    assert events(system, execution, "step.reminded")


def test_a_deadline_without_a_reconciler_fires_once_when_it_is_back(
    system: System, same: str
) -> None:
    made = system.orchestration(
        ask(config={"timeout_ms": 500, "on_timeout": "approve"}), step("after", same)
    )
    execution = system.execute(made)
    asked(system, execution)
    system.kill("reconciler")
    try:
        until(
            lambda: system.database.execute(
                "SELECT 1 FROM executions_approval WHERE execution_id = %s"
                " AND expires_at < clock_timestamp()",
                [execution],
            ).fetchone(),
            what="the deadline",
        )
        assert system.execution(execution)["status"] == "waiting"
    finally:
        system.restart("reconciler")
    ended = system.finished(execution)
    assert ended["status"] == "completed", ended["error"]
    assert len(events(system, execution, "step.answered")) == 1
    assert len(events(system, execution, "step.completed")) == 2


def test_what_is_cancelled_is_asked_no_longer(system: System) -> None:
    execution = system.execute(system.orchestration(ask()))
    question = asked(system, execution)
    steer(system, execution, "cancel")
    assert system.finished(execution)["status"] == "cancelled"
    assert say(system, question) == 409
    assert system.get(f"approvals/{question}/")["status"] == "withdrawn"
    assert system.get(f"approvals/?execution={execution}&status=open")["results"] == []


def test_a_retry_after_a_rejection_asks_anew(system: System, same: str) -> None:
    execution = system.execute(system.orchestration(ask(), step("after", same)))
    first = asked(system, execution)
    assert say(system, first, "reject", comment="not yet") == 200
    failed = system.finished(execution)
    assert (failed["status"], failed["error"]["type"]) == ("failed", "rejected")

    steer(system, execution, "retry")
    second = asked(system, execution)

    assert second != first
    assert say(system, first) == 409
    assert say(system, second) == 200
    assert system.finished(execution)["status"] == "completed"


def test_each_turn_of_a_loop_asks_anew(system: System, same: str) -> None:
    number = inner("number", same, given="{{ loop.index }}")
    made = system.orchestration(
        loop("again", {"count": 3, "collect": "all"}, number, ask())
    )
    execution = system.execute(made)
    questions = set()
    for turn in range(3):
        question = asked(system, execution, f"again[{turn}]/ask")
        questions.add(question)
        assert say(system, question, comment=str(turn)) == 200
    ended = system.finished(execution)
    assert len(questions) == 3
    assert [each["comment"] for each in ended["context"]["again"]] == ["0", "1", "2"]


def test_the_items_of_a_map_are_asked_and_answered_at_once(
    system: System, same: str
) -> None:
    items = list(range(20))
    body = (
        ask(config={"prompt": "Item {{ item }}?", "form": {"type": "integer"}}),
        inner("after", same),
    )
    execution = system.execute(system.orchestration(each("each", items, *body)))
    questions = [asked(system, execution, f"each[{n}]/ask") for n in items]

    with ThreadPoolExecutor(10) as pool:
        came = pool.map(
            lambda n: say(system, questions[n], answer=n * n), reversed(items)
        )
        assert set(came) == {200}

    ended = system.finished(execution)
    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["each"] == [n * n for n in items]


def test_a_paused_execution_takes_the_answer(system: System, same: str) -> None:
    execution = system.execute(system.orchestration(ask(), step("after", same)))
    question = asked(system, execution)
    steer(system, execution, "pause")
    assert say(system, question) == 200
    paused = system.execution(execution)
    assert (paused["status"], by_path(paused, "status")) == (
        "paused",
        {"ask": "completed"},
    )
    steer(system, execution, "resume")
    assert system.finished(execution)["status"] == "completed"
