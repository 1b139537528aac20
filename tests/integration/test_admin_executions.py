"""Executions in the admin: found and read fast, never edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions.admin.lists import MAX_COUNTED
from executions.models import Event, Execution, StepRun, Worker
from roles.models import Role

PAGES = "/admin/executions/execution/"
ORCHESTRATIONS = "/admin/core_orchestration/orchestration/"
EVIL = "<script>alert(1)</script>"

pytestmark = pytest.mark.django_db

Make = Callable[..., Execution]


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(
        User.objects.create(username="root", is_staff=True, is_superuser=True)
    )
    return client


@pytest.fixture
def orchestration() -> Orchestration:
    Role.objects.create(
        name="Shouter", kind="function", config={"function": "text.upper"}
    )
    return drafts.save(
        {
            "name": "Shout",
            "input_schema": {
                "type": "object",
                "required": ["text"],
                "examples": [{"text": "hi"}],
            },
            "output": "{{ context.a }}",
            "steps": [{"name": "Step A", "key": "a", "role_name": "Shouter"}],
        }
    )


@pytest.fixture
def make(orchestration: Orchestration) -> Make:
    version = orchestration.published
    assert version is not None

    def execution(status: str = "completed", **fields: Any) -> Execution:
        over = status in {"completed", "failed", "cancelled", "timed_out"}
        now = timezone.now()
        return Execution.objects.create(
            orchestration=orchestration,
            version=version,
            status=status,
            started_at=now,
            finished_at=now if over else None,
            **fields,
        )

    return execution


def log(execution: Execution, **fields: Any) -> StepRun:
    given = {
        "id": uuid4(),
        "execution": execution,
        "ordinal": 0,
        "path": "a",
        "key": "a",
        "role_name": "Shouter",
        "status": "completed",
        "attempt": 1,
        **fields,
    }
    return StepRun.objects.create(**given)


def test_the_page_shows_what_was_done(admin: Client, make: Make) -> None:
    execution = make(input={"text": "hello"}, output={"text": "HELLO"})
    log(execution, input={"text": "hello"}, output="HELLO", attempt=3)
    Event.objects.create(execution=execution, type="step.completed", path="a")
    page = admin.get(f"{PAGES}{execution.pk}/change/").content.decode()
    for part in (
        "Step A",
        "{\n  &quot;text&quot;: &quot;HELLO&quot;\n}",
        "<td>3</td>",
        "step.completed",
        "core-status-completed",
    ):
        assert part in page


def test_the_page_of_a_failure_names_the_step(admin: Client, make: Make) -> None:
    error = {"step_key": "a", "type": "timeout", "message": "Too slow.", "attempt": 2}
    execution = make("failed", error=error)
    log(execution, status="failed", error=error)
    page = admin.get(f"{PAGES}{execution.pk}/change/").content.decode()
    assert "in <b>a</b>, timeout: Too slow." in page


def test_markup_from_a_run_is_escaped(admin: Client, make: Make) -> None:
    error = {"step_key": "a", "type": EVIL, "message": EVIL, "attempt": 1}
    execution = make("failed", input={EVIL: EVIL}, output=EVIL, error=error)
    log(execution, input=EVIL, output={EVIL: [EVIL]}, error=error, role_name=EVIL)
    Event.objects.create(execution=execution, type=EVIL, path=EVIL, data=EVIL)
    Orchestration.objects.update(name=EVIL)
    for address in (PAGES, f"{PAGES}{execution.pk}/change/"):
        assert EVIL not in admin.get(address).content.decode()


def test_very_long_values_are_cut(admin: Client, make: Make) -> None:
    execution = make(output="x" * 100_000)
    page = admin.get(f"{PAGES}{execution.pk}/change/").content.decode()
    assert "x" * 20_001 not in page
    assert "of 100000 characters" in page


@pytest.mark.parametrize("status", ["pending", "running", "waiting", "paused"])
def test_unfinished_executions_have_a_page(
    admin: Client, make: Make, status: str
) -> None:
    execution = make(status)
    page = admin.get(f"{PAGES}{execution.pk}/change/")
    assert f"core-status-{status}" in page.content.decode()


def test_executions_cannot_be_added_changed_or_deleted(
    admin: Client, make: Make
) -> None:
    address = f"{PAGES}{make().pk}/"
    for page in (PAGES + "add/", address + "change/", address + "delete/"):
        assert admin.post(page, {"status": "failed"}).status_code == 403
    assert Execution.objects.get().status == "completed"


def test_executions_are_found_by_id_and_by_name(admin: Client, make: Make) -> None:
    execution, other = make(), make("running")

    def found(**query: str) -> list[Any]:
        changelist = admin.get(PAGES, query).context["cl"]
        return [each.pk for each in changelist.result_list]

    assert found(q=str(execution.pk)) == [execution.pk]
    assert found(q=str(execution.orchestration_id)) == [other.pk, execution.pk]
    assert found(q="sho") == [other.pk, execution.pk]
    assert found(q="nothing") == []
    assert found(status="running") == [other.pk]


def test_the_list_costs_the_same_for_many_and_counts_no_whole_table(
    admin: Client, make: Make
) -> None:
    for _ in range(20):
        make()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert admin.get(PAGES).status_code == 200
    assert len(queries) <= 5
    counts = [each["sql"] for each in queries if "COUNT(" in each["sql"]]
    assert counts
    assert all(f"LIMIT {MAX_COUNTED}" in sql for sql in counts)


def test_an_orchestration_runs_with_its_example(
    admin: Client, orchestration: Orchestration
) -> None:
    data = {"action": "run", "_selected_action": [orchestration.pk]}
    page = admin.post(ORCHESTRATIONS, data, follow=True).content.decode()
    execution = Execution.objects.get()
    assert f"{PAGES}{execution.pk}/change/" in page
    assert execution.input == {"text": "hi"}
    assert execution.created_by is not None


def test_what_does_not_run_says_why(
    admin: Client, orchestration: Orchestration
) -> None:
    Orchestration.objects.update(is_active=False)
    data = {"action": "run", "_selected_action": [orchestration.pk]}
    page = admin.post(ORCHESTRATIONS, data, follow=True).content.decode()
    assert "not active" in page
    assert not Execution.objects.exists()


def test_workers_are_listed_and_nothing_more(admin: Client) -> None:
    worker = Worker.objects.create(
        host="here", pid=7, queues=["io"], lease_until=timezone.now()
    )
    address = f"/admin/executions/worker/{worker.pk}/change/"
    assert "here" in admin.get("/admin/executions/worker/").content.decode()
    assert admin.get(address).status_code == 200
    assert admin.post(address, {"pid": 8}).status_code == 403
