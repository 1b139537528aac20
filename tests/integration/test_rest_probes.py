"""Probes, the front door, the description of the API, and what lists cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from core_orchestration.drafts import save
from executions.launch import launch
from executions.models import Worker
from roles.models import Role
from tests.integration.answers import problem_of

pytest_plugins = ("tests.integration.stage",)

MakeRole = Callable[..., Role]


def lease(seconds: int) -> None:
    until = timezone.now() + timedelta(seconds=seconds)
    Worker.objects.create(host="here", pid=1, lease_until=until)


def test_the_process_is_alive_without_any_server(client: Client) -> None:
    response = client.get("/healthz")  # no database: this test may not touch one
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_it_is_ready_when_somebody_works(
    db: None, client: Client, broker: redis.Redis
) -> None:
    lease(15)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"] == {
        "postgresql": "ok",
        "redis": "ok",
        "workers": "ok",
        "backlog": "ok",
        "reconciler": "none is at work",  # which is told, and no reason
    }


def test_it_is_not_ready_when_nobody_works(db: None, client: Client) -> None:
    lease(-1)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert problem_of(response)["checks"]["workers"] == "none has a lease"


def test_it_is_not_ready_without_valkey(
    db: None, client: Client, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/readyz")
    assert response.status_code == 503
    assert problem_of(response)["checks"]["redis"] == "cannot be reached"


def test_a_database_that_is_away_is_a_503(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("the canary sings")

    monkeypatch.setattr("roles.views.roles.save_role", away)
    response = api.post("/api/v1/roles/", {})
    assert response.status_code == 503
    assert problem_of(response)["code"] == "unavailable"
    assert response.headers["Retry-After"] == "5"
    assert "canary" not in response.text


def test_the_front_door_leads_to_the_docs_and_these_to_the_login(
    db: None, client: Client, user: User
) -> None:
    assert client.get("/").headers["Location"] == "/api/v1/docs/"
    closed = client.get("/api/v1/docs/")
    assert closed.status_code == 401
    assert "/admin/login/?next=/api/v1/docs/" in closed.text
    client.force_login(user)
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/" in page.text
    assert "cdn" not in page.text
    assert "/api/v1/schema/" in page.text


def test_the_description_is_openapi_31_and_complete(api: APIClient) -> None:
    schema = api.get("/api/v1/schema/").json()
    assert schema["openapi"].startswith("3.1")
    paths = {path.removeprefix("/api/v1/") for path in schema["paths"]}
    assert paths == {
        "roles/",
        "roles/{id}/",
        "orchestrations/",
        "orchestrations/{id}/",
        "orchestrations/validate/",
        "orchestrations/{id}/execute/",
        "audit/",
        "audit/{id}/",
        "breakers/",
        "breakers/{key}/",
        "budgets/",
        "budgets/{id}/",
        "model-choices/{digest}/",
        "models/",
        "models/{id}/",
        "models/choose/",
        "secrets/",
        "secrets/{id}/",
        "executions/{id}/transcript/",
        "usage/",
        "executions/{id}/usage/",
        "executions/",
        "executions/{id}/",
        "executions/bulk/",
        "executions/{id}/cancel/",
        "executions/{id}/events/",
        "executions/{id}/fork/",
        "executions/{id}/pause/",
        "executions/{id}/rerun/",
        "executions/{id}/resume/",
        "executions/{id}/retry/",
        "executions/{id}/settle/",
        "executions/{id}/terminate/",
        "workers/",
        "approvals/",
        "approvals/{id}/",
        "approvals/{id}/approve/",
        "approvals/{id}/link/",
        "approvals/{id}/reject/",
        "mcp-servers/",
        "mcp-servers/{id}/",
        "mcp-servers/{id}/check/",
        "events/",
        "executions/{id}/rollback/",
        "executions/{id}/signal/",
    }
    for path in schema["paths"].values():
        for operation in path.values():
            failures = operation["responses"]["default"]["content"]
            assert failures.keys() == {"application/problem+json"}
            assert {"apiKey": []} in operation["security"]
    schemas = schema["components"]["schemas"]
    assert "steps" in schemas["Orchestration"]["properties"]
    assert "steps" not in schemas["OrchestrationSummary"]["properties"]
    assert schemas["ExecutionStatusEnum"]["enum"][0] == "pending"
    parameters = schema["paths"]["/api/v1/executions/"]["get"]["parameters"]
    assert {each["name"] for each in parameters} == {
        "status",
        "orchestration",
        "created_after",
        "created_before",
        "search",
        "cursor",
        "page_size",
    }


@pytest.mark.parametrize("many", [3, 30])
def test_lists_cost_the_same_whatever_their_length(
    api: APIClient,
    user: User,
    make_role: MakeRole,
    many: int,
    django_assert_num_queries: Any,
) -> None:
    make_role("Shouter")
    step = {"name": "Shout", "role_name": "Shouter"}
    for number in range(many):
        orchestration = save({"name": f"O {number}", "steps": [step]}, by=user)
        launch(orchestration, {}, by=user)
        make_role(f"R {number}")
    api.get("/api/v1/roles/")  # the key's use is noted once a minute
    for name in ("roles", "orchestrations", "executions"):
        with django_assert_num_queries(2):  # the key and the rows
            page = api.get(f"/api/v1/{name}/").json()
        assert len(page["results"]) >= many


def test_an_orchestration_of_many_steps_is_read_and_saved_in_few_queries(
    api: APIClient, make_role: MakeRole, django_assert_max_num_queries: Any
) -> None:
    make_role("Shouter")
    steps = [{"name": f"Step {n}", "role_name": "Shouter"} for n in range(400)]
    body = {"name": "Long", "steps": steps}
    with django_assert_max_num_queries(25):
        url = api.post("/api/v1/orchestrations/", body).headers["Location"]
    with django_assert_max_num_queries(3):
        read = api.get(url).json()
    with django_assert_max_num_queries(25):
        assert api.put(url, read).status_code == 200
