"""What an execution and its steps wait for, as the API tells it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from rest_framework.test import APIClient

from executions import lifecycle, standing
from executions.database import fetch
from executions.election import LOCK
from executions.management.commands.reconcile import Reconciler
from executions.models import Execution, StepRun, Worker
from tests.integration.engine import (
    DONE,
    FAILED,
    PATIENCE_S,
    chain,
    claimed,
    end_lease,
    finish,
    group,
    launched,
    now_of,
    role,
    run_at,
    step,
    worker,
)
from tests.integration.statements import statements

pytestmark = pytest.mark.django_db

ALL = ["cpu.recovery", "control", "cpu"]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def reconciler() -> Iterator[None]:
    """A reconciler that is at work: whoever holds the lock is one."""
    fetch("SELECT pg_advisory_lock(%(lock)s)", {"lock": LOCK})
    yield
    fetch("SELECT pg_advisory_unlock(%(lock)s)", {"lock": LOCK})


@contextmanager
def elected() -> Iterator[None]:
    """Let a reconciler, with a connection of its own, have done its first round."""
    done = threading.Event()

    def serve() -> None:
        Reconciler().tick()
        ready.set()
        done.wait(PATIENCE_S)
        connection.close()

    ready, thread = threading.Event(), threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield
    finally:
        done.set()
        thread.join()


def read(api: APIClient, execution: Execution) -> Any:
    response = api.get(f"/api/v1/executions/{execution.pk}/")
    assert response.status_code == 200, response.json()
    return response.json()


def waiting_on(api: APIClient, execution: Execution) -> Any:
    return read(api, execution)["waiting_on"]


def of_steps(api: APIClient, execution: Execution) -> dict[str, Any]:
    """Return what each step with a row waits for, by path."""
    logs = read(api, execution)["step_logs"]
    return {each["path"]: each["waiting_on"] for each in logs}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def change(execution: Execution, **fields: Any) -> None:
    Execution.objects.filter(pk=execution.pk).update(**fields)


def make_old(execution: Execution) -> None:
    long_ago = Now() - MINUTE
    change(execution, created_at=long_ago, dispatched_at=long_ago)


# --- whose turn it is -----------------------------------------------------------------


def test_without_workers_the_first_step_waits_for_one(
    api: APIClient, reconciler: None
) -> None:
    execution = chain("a", "b")

    found = waiting_on(api, execution)

    assert found == {
        "kind": "queue_without_worker",
        "step_key": "a",
        "since": found["since"],
        "expected": None,
        "detail": "It is the turn of step 'a', but no live worker serves 'cpu'.",
        "help": "Start the Procfile's worker-cpu, or another worker with -Q cpu.",
    }
    assert moment(found["since"]) == execution.created_at


def test_it_is_told_with_the_answer_that_accepts_an_execution(
    api: APIClient, reconciler: None
) -> None:
    execution = chain("a")
    url = f"/api/v1/orchestrations/{execution.orchestration_id}/execute/"

    accepted = api.post(url, {}).json()

    assert accepted["waiting_on"]["kind"] == "queue_without_worker"
    assert accepted == api.get(f"/api/v1/executions/{accepted['id']}/").json()


def test_workers_that_serve_its_queue_are_counted(
    api: APIClient, reconciler: None
) -> None:
    worker(queues=ALL, slots=2, busy=2)
    worker(queues=ALL, slots=2, busy=1)
    worker(queues=["io"], slots=500)
    worker(queues=ALL, slots=100, lease_s=-1)
    execution = chain("a")

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"]) == ("queue", "a")
    assert "'cpu': 2 live workers with 4 slots, 3 of them busy" in found["detail"]


def test_a_role_that_awaits_waits_in_the_other_queue(
    api: APIClient, reconciler: None
) -> None:
    worker(queues=ALL)
    execution = launched(step("a", role("time.delay")))

    found = waiting_on(api, execution)

    assert found["kind"] == "queue_without_worker"
    assert "worker-io" in found["help"]


def test_the_turn_goes_on_with_the_plan(api: APIClient, reconciler: None) -> None:
    worker(queues=ALL)
    execution = chain("a", "b", "c")
    finish(execution, "a", "b")

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"]) == ("queue", "c")
    settled = run_at(execution, "b").finished_at
    assert settled is not None
    assert abs(moment(found["since"]) - settled) < timedelta(milliseconds=2)
    assert of_steps(api, execution) == {"a": None, "b": None}


def test_a_group_waits_for_the_queue_that_leads_to_it(
    api: APIClient, reconciler: None
) -> None:
    worker(queues=["cpu", "cpu.recovery"])
    same = role()
    execution = launched(step("a", same), *group("x", "y", of=same))
    finish(execution, "a")

    assert "'control'" in waiting_on(api, execution)["detail"]

    change(execution, cursor=1)  # now its members have been sent
    assert waiting_on(api, execution)["kind"] == "queue"


def test_a_group_waits_for_its_slowest_member(api: APIClient, reconciler: None) -> None:
    here = worker(queues=ALL)
    same = role()
    execution = launched(*group("x", "y", "z", of=same))
    claimed(execution, "x", by=here)

    assert waiting_on(api, execution)["step_key"] == "y"
    assert waiting_on(api, execution)["kind"] == "queue"

    for path in ("y", "z"):
        claimed(execution, path, by=here)
    assert waiting_on(api, execution)["kind"] == "work"


def test_an_end_that_is_not_recorded_is_waited_for(
    api: APIClient, reconciler: None
) -> None:
    worker(queues=ALL)
    execution = launched(*group("x", "y", of=role()))
    finish(execution, "x", "y")

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"]) == ("queue", None)
    assert "'control'" in found["detail"]


def test_an_execution_whose_roles_are_gone_waits_nevertheless(
    api: APIClient, reconciler: None
) -> None:
    execution = chain("a")
    change(execution, role_pins={})

    assert waiting_on(api, execution)["kind"] == "queue"


def test_a_turn_begins_when_it_is_sent_and_not_again_when_it_is_resent(
    api: APIClient, reconciler: None
) -> None:
    execution = chain("a")
    change(execution, created_at=Now() - 3 * MINUTE, dispatched_at=Now() - MINUTE)
    sent = moment(waiting_on(api, execution)["since"])
    assert abs(sent - now_of(execution).dispatched_at) < timedelta(milliseconds=2)

    change(execution, dispatched_at=Now(), resends=1)
    since = moment(waiting_on(api, execution)["since"])
    assert abs(since - now_of(execution).created_at) < timedelta(milliseconds=2)


# --- steps that have begun ------------------------------------------------------------


def test_a_step_that_a_live_worker_runs_is_at_work(
    api: APIClient, reconciler: None
) -> None:
    here = worker(queues=ALL, host="box", pid=7)
    execution = chain("a")
    claim = claimed(execution, "a", by=here)

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"], found["help"]) == ("work", "a", None)
    assert "Worker box:7 runs step 'a'" in found["detail"]
    assert abs(moment(found["expected"]) - claim.deadline) < timedelta(milliseconds=2)
    assert of_steps(api, execution) == {"a": found}


def test_a_step_outlives_its_worker_for_a_moment(
    api: APIClient, reconciler: None
) -> None:
    here = worker(queues=ALL, host="box", pid=7)
    execution = chain("a")
    claimed(execution, "a", by=here)
    end_lease(here)

    assert waiting_on(api, execution)["kind"] == "lost_worker"
    assert "Worker box:7" in waiting_on(api, execution)["detail"]

    Worker.objects.all().delete()
    found = waiting_on(api, execution)
    assert found["kind"] == "lost_worker"
    assert of_steps(api, execution) == {"a": found}


def test_a_retry_waits_for_its_time(api: APIClient, reconciler: None) -> None:
    here = worker(queues=ALL)
    execution = chain("a", "b")
    claim = claimed(execution, "a", by=here)
    assert lifecycle.schedule_retry(claim, FAILED, delay_s=100, timer=True)

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"]) == ("retry_timer", "a")
    at = run_at(execution, "a").retry_at
    assert at is not None
    assert abs(moment(found["expected"]) - at) < timedelta(milliseconds=2)
    assert of_steps(api, execution) == {"a": found}


def test_a_retry_that_is_due_waits_for_a_worker(
    api: APIClient, reconciler: None
) -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    assert lifecycle.schedule_retry(claim, FAILED, delay_s=-1, timer=False)

    assert waiting_on(api, execution)["kind"] == "queue_without_worker"

    worker(queues=ALL)
    assert waiting_on(api, execution)["kind"] == "queue"
    assert of_steps(api, execution)["a"]["kind"] == "queue"


def test_a_step_that_needs_attention_comes_first(
    api: APIClient, reconciler: None
) -> None:
    here = worker(queues=ALL)
    execution = launched(*group("x", "y", of=role()))
    for path in ("x", "y"):
        claimed(execution, path, by=here)
    error = {"type": "worker_lost", "message": "It was lost.", "attempt": 1}
    StepRun.objects.filter(path="y").update(status="needs_attention", error=error)
    change(execution, status="paused", paused_at=Now())

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"]) == ("needs_attention", "y")
    assert "It was lost." in found["detail"]
    steps = of_steps(api, execution)
    assert (steps["x"]["kind"], steps["y"]) == ("work", found)


# --- what people and the reconciler do ------------------------------------------------


def test_a_paused_execution_is_to_be_resumed(api: APIClient, reconciler: None) -> None:
    execution = chain("a")
    change(execution, status="paused", paused_at=Now())

    found = waiting_on(api, execution)

    assert (found["kind"], found["help"]) == ("paused", "Resume it.")
    assert found["since"] is not None


def test_a_cancelled_execution_lets_its_steps_go(
    api: APIClient, reconciler: None
) -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker(queues=ALL))
    asked = lifecycle.Request(by="ada", reason="too slow")
    assert lifecycle.request_cancel(execution.pk, asked, grace=MINUTE)

    found = waiting_on(api, execution)

    assert found["kind"] == "cancelling"
    assert found["detail"].startswith("ada asked for its end (too slow)")
    at = now_of(execution).wake_at
    assert at is not None
    assert abs(moment(found["expected"]) - at) < timedelta(milliseconds=2)
    assert moment(found["since"]) <= moment(found["expected"])
    assert of_steps(api, execution)["a"]["kind"] == "work"


def test_a_timer_that_does_not_fire_is_the_reconcilers(api: APIClient) -> None:
    worker(queues=ALL)
    execution = chain("a")
    change(execution, wake_at=Now() - MINUTE)

    found = waiting_on(api, execution)

    assert (found["kind"], found["step_key"]) == ("reconciler", None)
    assert "Start `manage.py reconcile`" in found["help"]


def test_the_elected_reconciler_is_seen(api: APIClient) -> None:
    worker(queues=ALL)
    execution = chain("a")
    make_old(execution)
    assert waiting_on(api, execution)["kind"] == "reconciler"

    with elected():
        assert waiting_on(api, execution)["kind"] == "queue"

    assert waiting_on(api, execution)["kind"] == "reconciler"


def test_another_lock_is_no_reconciler(api: APIClient) -> None:
    worker(queues=ALL)
    execution = chain("a")
    make_old(execution)

    fetch("SELECT pg_advisory_lock(%(lock)s)", {"lock": LOCK + 1})
    fetch("SELECT pg_advisory_lock(%(high)s, %(low)s)", {"high": 0, "low": LOCK})

    assert waiting_on(api, execution)["kind"] == "reconciler"
    fetch("SELECT pg_advisory_unlock_all()::text", {})


# --- what it costs, and where it is not -----------------------------------------------


def test_what_is_over_waits_for_nothing_and_costs_no_statement(api: APIClient) -> None:
    execution = chain("a")
    assert lifecycle.settle_and_complete(claimed(execution, "a"), DONE, None)
    url = f"/api/v1/executions/{execution.pk}/"
    body = api.get(url).json()
    assert body["waiting_on"] is None
    assert of_steps(api, execution) == {"a": None}

    with statements() as asked:
        api.get(url)

    assert len(asked) == 3, asked  # the key, the execution and its steps


@pytest.mark.parametrize("many", [2, 60])
def test_what_it_waits_for_costs_two_statements_whatever_its_length(
    api: APIClient, many: int
) -> None:
    here, same = worker(queues=ALL), role()
    execution = launched(*group(*(f"s{n}" for n in range(many)), of=same))
    for number in range(0, many, 2):
        claimed(execution, f"s{number}", by=here)
    read(api, execution)  # the plan and the roles are kept from here on

    with statements() as asked:
        read(api, execution)

    assert len(asked) == 5, asked


def test_a_group_of_very_many_roles_is_looked_at_in_part(api: APIClient) -> None:
    steps = [step(f"s{n}", role(), parallel_group="g") for n in range(50)]
    execution = launched(*steps)

    with statements() as asked:
        read(api, execution)

    assert len(asked) <= 6 + standing.MOST_ROLES, asked


def test_lists_do_not_carry_it(api: APIClient) -> None:
    chain("a")

    (listed,) = api.get("/api/v1/executions/").json()["results"]

    assert "waiting_on" not in listed


def test_the_description_has_it(api: APIClient) -> None:
    schemas = api.get("/api/v1/schema/").json()["components"]["schemas"]

    assert "waiting_on" in schemas["Execution"]["properties"]
    assert "waiting_on" in schemas["StepLog"]["properties"]
    assert "waiting_on" not in schemas["ExecutionSummary"]["properties"]
    assert schemas["WaitingOn"]["properties"].keys() == {
        "kind",
        "step_key",
        "since",
        "expected",
        "detail",
        "help",
    }
    assert "queue_without_worker" in schemas["WaitingOnKindEnum"]["enum"]
