"""A replica: lists are read from it, nothing else is, and it may be away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.utils import InternalError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from core_orchestration.drafts import save
from core_orchestration.models import Orchestration
from executions.launch import launch
from executions.models import Execution
from roles import replicas
from roles.models import Role

LISTS = ("executions", "orchestrations", "roles")
ADMIN_LISTS = ("executions/execution", "core_orchestration/orchestration")
TABLES = ("executions_execution", "core_orchestration_orchestration", "roles_role")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shop")]


@pytest.fixture
def shop(user: User, make_role: Callable[..., Role]) -> Orchestration:
    make_role("Shouter")
    step = {"name": "Shout", "role_name": "Shouter"}
    return save({"name": "Shouting", "steps": [step]}, by=user)


@pytest.fixture
def replica(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Connect to the same database once more, in a way that cannot write."""
    monkeypatch.setattr(replicas, "_avoided_until", 0.0)
    given = connection.settings_dict
    limits = f"{given['OPTIONS']['options']} -c default_transaction_read_only=on"
    options = {**given["OPTIONS"], "options": limits}
    connections.settings[replicas.REPLICA] = {**given, "OPTIONS": options}
    # Django lets tests use no database that it did not know when they began.
    connections[replicas.REPLICA].alias = connection.alias
    yield replicas.REPLICA
    connections[replicas.REPLICA].close()
    del connections[replicas.REPLICA]
    del connections.settings[replicas.REPLICA]


@pytest.fixture
def admin(client: Client) -> Client:
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client.force_login(root)
    return client


@contextmanager
def asked() -> Iterator[dict[str, list[str]]]:
    """Collect what the replica and the primary are asked about our tables."""
    seen: dict[str, list[str]] = {}
    with (
        CaptureQueriesContext(connections[replicas.REPLICA]) as there,
        CaptureQueriesContext(connection) as here,
    ):
        yield seen
    for name, queries in (("replica", there), ("primary", here)):
        seen[name] = [
            each["sql"]
            for each in queries
            if any(f'FROM "{table}"' in each["sql"] for table in TABLES)
        ]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.usefixtures("replica")
def test_lists_come_from_the_replica(
    api: APIClient, shop: Orchestration, user: User, name: str
) -> None:
    launch(shop, {}, by=user)

    with asked() as seen:
        page = api.get(f"/api/v1/{name}/").json()

    assert len(page["results"]) == 1
    assert (len(seen["replica"]), seen["primary"]) == (1, [])


@pytest.mark.parametrize("name", ADMIN_LISTS)
@pytest.mark.usefixtures("replica")
def test_the_admins_lists_come_from_the_replica(
    admin: Client, shop: Orchestration, name: str
) -> None:
    launch(shop, {})

    with asked() as seen:
        page = admin.get(f"/admin/{name}/")

    assert len(page.context["cl"].result_list) == 1
    assert len(seen["replica"]) == 2  # how many, and the page
    assert not any("LIMIT 21" in sql for sql in seen["primary"])


def test_the_replica_of_these_tests_cannot_be_written_to(replica: str) -> None:
    with pytest.raises(InternalError, match="read-only"):
        Orchestration.objects.using(replica).update(description="written")


@pytest.mark.usefixtures("replica")
def test_whoever_writes_reads_the_primary(api: APIClient, shop: Orchestration) -> None:
    with asked() as seen:
        run = api.post(f"/api/v1/orchestrations/{shop.pk}/execute/").json()["id"]
        here = f"/api/v1/executions/{run}/"
        assert api.get(here).json()["status"] == "pending"
        assert api.post(f"{here}cancel/").status_code == 200
        assert api.get(here).json()["status"] == "cancelled"
        bulk = {"action": "retry", "filter": {"status": ["cancelled"]}}
        assert api.post("/api/v1/executions/bulk/", bulk).json()["done"] == 1
        place = f"/api/v1/orchestrations/{shop.pk}/"
        assert api.patch(place, {"description": "Loud"}).status_code == 200
        assert api.get(place).json()["description"] == "Loud"

    assert seen["replica"] == []


@pytest.mark.usefixtures("replica")
def test_the_admins_actions_use_the_primary(admin: Client, shop: Orchestration) -> None:
    execution = launch(shop, {})

    with asked() as seen:
        chosen = {"action": "cancel", "_selected_action": [str(execution.pk)]}
        assert admin.post("/admin/executions/execution/", chosen).status_code == 302
        chosen = {"action": "deactivate", "_selected_action": [str(shop.pk)]}
        place = "/admin/core_orchestration/orchestration/"
        assert admin.post(place, chosen).status_code == 302

    assert seen["replica"] == []
    assert Execution.objects.get().status == "cancelled"
    assert not Orchestration.objects.get().is_active


@pytest.mark.parametrize("name", LISTS)
def test_the_primary_stands_in_for_a_replica_that_is_not_there(
    api: APIClient,
    replica: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(connections[replica].settings_dict, "HOST", "/nowhere")

    with caplog.at_level(logging.WARNING, "roles.replicas"):
        answers = [api.get(f"/api/v1/{name}/") for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    said = [each for each in caplog.records if each.name == "roles.replicas"]
    assert len(said) == 1, "it is left alone for a while"


@pytest.mark.parametrize("name", ADMIN_LISTS)
def test_the_admin_does_without_a_replica(
    admin: Client, replica: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections[replica].settings_dict, "HOST", "/nowhere")

    assert admin.get(f"/admin/{name}/").status_code == 200


def test_a_replica_that_breaks_off_is_asked_again_later(
    api: APIClient, replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connections[replica].cursor() as there, connection.cursor() as here:
        there.execute("SELECT pg_backend_pid()")
        here.execute("SELECT pg_terminate_backend(%s)", there.fetchone())

    assert api.get("/api/v1/roles/").status_code == 200
    monkeypatch.setattr(replicas, "_avoided_until", 0.0)
    with asked() as seen:
        assert api.get("/api/v1/roles/").status_code == 200

    assert len(seen["replica"]) == 1


def test_without_a_replica_there_is_one_database(api: APIClient) -> None:
    assert replicas.REPLICA not in connections
    aliases: list[Any] = []
    replicas.read(aliases.append)
    assert aliases == ["default"]
    assert api.get("/api/v1/roles/").status_code == 200
