"""Workers as rows: who is there, how busy, and with what, over REST and in the admin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.test import Client
from rest_framework.test import APIClient

from executions import fleet
from executions.models import Execution, StepRun, Worker
from tests.integration.conftest import client_of
from tests.integration.engine import (
    claimed,
    finish,
    group,
    launched,
    role,
    run_at,
    step,
    worker,
)
from tests.integration.statements import statements

WORKERS = "/api/v1/workers/"
PAGES = "/admin/executions/worker/"

pytestmark = pytest.mark.django_db


def listed(api: APIClient) -> dict[str, Any]:
    """Return the listed workers by id."""
    response = api.get(WORKERS)
    assert response.status_code == 200, response.json()
    return {each["id"]: each for each in response.json()["results"]}


def execution_of(user: User | None, *keys: str) -> Execution:
    same = role()
    execution = launched(*group(*keys, of=same), step("last", same))
    Execution.objects.filter(pk=execution.pk).update(created_by=user)
    return execution


def began(execution: Execution, path: str, *, ago: timedelta, by: UUID) -> None:
    claimed(execution, path, by=by)
    runs = StepRun.objects.filter(execution=execution, path=path)
    runs.update(started_at=Now() - ago)


# --- over REST ------------------------------------------------------------------------


def test_a_worker_is_listed_with_what_it_said_of_itself(api: APIClient) -> None:
    here = worker(
        host="box", pid=7, queues=["io.recovery", "io"], slots=500, busy=3, lease_s=10
    )

    found = listed(api)[str(here)]

    row = Worker.objects.get(pk=here)
    assert found.keys() == {
        "id",
        "host",
        "pid",
        "queues",
        "slots",
        "busy",
        "started_at",
        "last_heartbeat_at",
        "lease_until",
        "alive",
        "running",
    }
    assert (found["host"], found["pid"], found["queues"]) == (
        "box",
        7,
        ["io.recovery", "io"],
    )
    assert (found["slots"], found["busy"], found["alive"]) == (500, 3, True)
    assert found["running"] == []
    until = datetime.fromisoformat(found["lease_until"])
    assert abs(until - row.lease_until) < timedelta(milliseconds=2)


def test_a_worker_whose_lease_ended_is_not_alive(api: APIClient) -> None:
    gone = worker(lease_s=-1)

    assert listed(api)[str(gone)]["alive"] is False


def test_a_worker_says_what_it_runs_the_oldest_first(
    api: APIClient, user: User
) -> None:
    here, other = worker(queues=["cpu"], busy=3), worker(queues=["cpu"])
    execution = execution_of(user, "x", "y", "z")
    began(execution, "x", ago=timedelta(seconds=10), by=here)
    began(execution, "y", ago=timedelta(seconds=30), by=here)
    began(execution, "z", ago=timedelta(seconds=20), by=other)

    workers = listed(api)

    assert [each["path"] for each in workers[str(here)]["running"]] == ["y", "x"]
    since = run_at(execution, "z").started_at
    assert since is not None
    (running,) = workers[str(other)]["running"]
    assert running == {
        "execution_id": str(execution.pk),
        "step_key": "z",
        "path": "z",
        "since": running["since"],
    }
    at = datetime.fromisoformat(running["since"])
    assert abs(at - since) < timedelta(milliseconds=2)


def test_what_is_settled_or_over_is_not_run(api: APIClient, user: User) -> None:
    here = worker(queues=["cpu"])
    execution = execution_of(user, "x", "y")
    finish(execution, "x")
    claimed(execution, "y", by=here)
    Execution.objects.filter(pk=execution.pk).update(status="failed", finished_at=Now())

    assert listed(api)[str(here)]["running"] == []


def test_one_sees_what_runs_of_ones_own_and_of_nobodys(
    api: APIClient, other_api: APIClient, staff_api: APIClient, user: User
) -> None:
    here = worker(queues=["cpu"], busy=2)
    mine, nobodys = execution_of(user, "x"), execution_of(None, "x")
    for each in (mine, nobodys):
        claimed(each, "x", by=here)

    def seen_by(client: APIClient) -> set[str]:
        found = listed(client)[str(here)]
        assert found["busy"] == 2
        return {each["execution_id"] for each in found["running"]}

    assert seen_by(api) == seen_by(staff_api) == {str(mine.pk), str(nobodys.pk)}
    assert seen_by(other_api) == {str(nobodys.pk)}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_workers_are_only_read(api: APIClient, method: str) -> None:
    assert getattr(api, method)(WORKERS, {}).status_code == 405


def test_nobody_sees_them_without_a_key(anonymous: APIClient) -> None:
    assert anonymous.get(WORKERS).status_code == 401


@pytest.mark.parametrize("many", [1, 40])
def test_the_list_costs_three_statements_whatever_its_length(
    user: User, many: int
) -> None:
    client = client_of(user)
    execution = execution_of(user, *(f"s{number}" for number in range(many)))
    for number in range(many):
        claimed(execution, f"s{number}", by=worker(queues=["cpu"]))
    client.get(WORKERS)  # the key's use is noted once a minute

    with statements() as asked:
        found = client.get(WORKERS).json()["results"]

    assert len(asked) == 3, asked  # the key, the workers, and what they run
    assert sum(len(each["running"]) for each in found) == many


def test_what_runs_is_bounded(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "MOST_SHOWN", 3)
    here, other = worker(queues=["cpu"]), worker(queues=["cpu"])
    execution = execution_of(user, *(f"s{number}" for number in range(5)))
    for number in range(5):
        ago = timedelta(seconds=100 - number)
        began(execution, f"s{number}", ago=ago, by=other if number % 2 else here)

    workers = listed(api)

    assert [each["path"] for each in workers[str(here)]["running"]] == ["s0", "s2"]
    assert [each["path"] for each in workers[str(other)]["running"]] == ["s1"]


def test_workers_come_in_pages(api: APIClient) -> None:
    ids = [str(worker(pid=number)) for number in range(5)]
    seen, url = [], f"{WORKERS}?page_size=2"
    while url:
        page = api.get(url).json()
        seen += [each["id"] for each in page["results"]]
        url = page["next"]
    assert seen == ids[::-1]


# --- in the admin ---------------------------------------------------------------------


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(
        User.objects.create(username="root", is_staff=True, is_superuser=True)
    )
    return client


def page(client: Client, worker_id: UUID) -> str:
    return client.get(f"{PAGES}{worker_id}/change/").content.decode()


def test_the_list_shows_how_busy_workers_are(admin: Client) -> None:
    worker(queues=["io"], slots=512, busy=37)
    worker(queues=["io"], lease_s=-1)

    shown = admin.get(PAGES).content.decode()

    for part in ("512", "37", "Last heartbeat at", "icon-yes", "icon-no"):
        assert part in shown


def test_a_workers_page_links_to_what_it_runs(admin: Client, user: User) -> None:
    here = worker(queues=["cpu"])
    execution = execution_of(user, "x")
    claimed(execution, "x", by=here)

    shown = page(admin, here)

    assert f"/admin/executions/execution/{execution.pk}/change/" in shown
    assert f"{execution.pk}</a> x since" in shown


def test_who_may_not_see_executions_is_not_shown_what_runs(
    client: Client, staff: User
) -> None:
    staff.user_permissions.set(Permission.objects.filter(codename="view_worker"))
    client.force_login(staff)
    here = worker(queues=["cpu"], host="box")
    execution = execution_of(None, "x")
    claimed(execution, "x", by=here)

    shown = page(client, here)

    assert "box" in shown
    assert str(execution.pk) not in shown


@pytest.mark.parametrize("many", [1, 30])
def test_the_admins_list_costs_the_same_for_many(
    admin: Client, many: int, django_assert_max_num_queries: Any
) -> None:
    for number in range(many):
        worker(pid=number)
    with django_assert_max_num_queries(5):
        assert admin.get(PAGES).status_code == 200


# --- an execution's page --------------------------------------------------------------


def test_an_executions_page_says_why_it_does_not_move(
    admin: Client, user: User
) -> None:
    here = worker(queues=["cpu"], host="box", pid=7, busy=1)
    execution = execution_of(user, "x", "y")
    claimed(execution, "x", by=here)
    address = f"/admin/executions/execution/{execution.pk}/change/"

    shown = admin.get(address).content.decode()
    assert "Worker box:7 runs step &#x27;x&#x27;" in shown  # at the step
    assert "It is the turn of step &#x27;y&#x27;" in shown  # of the whole
    assert "the Procfile&#x27;s worker-cpu" in shown

    Execution.objects.filter(pk=execution.pk).update(status="failed", finished_at=Now())
    assert "Waits for" not in admin.get(address).content.decode()
