"""Executions over REST: started once, listed lightly, read in full."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from core_orchestration.drafts import save
from core_orchestration.models import Orchestration
from executions.models import Execution
from roles.models import Role
from tests.integration.answers import errors_of, problem_of
from tests.integration.conftest import client_of

EXECUTIONS = "/api/v1/executions/"
MakeRole = Callable[..., Role]


@pytest.fixture
def orchestration(user: User, make_role: MakeRole) -> Orchestration:
    make_role("Shouter")
    return save(
        {
            "name": "Shouting",
            "input_schema": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
            },
            "steps": [{"name": "Shout", "role_name": "Shouter"}],
        },
        by=user,
    )


def url_of(orchestration: Orchestration) -> str:
    return f"/api/v1/orchestrations/{orchestration.pk}/execute/"


def test_an_execution_is_accepted_and_can_be_read(
    api: APIClient, orchestration: Orchestration, user: User
) -> None:
    response = api.post(url_of(orchestration), {"input": {"text": "hi"}})
    assert response.status_code == 202
    body = api.get(response.headers["Location"]).json()
    assert body == response.json()
    assert body | {"created_at": None} == {
        "id": body["id"],
        "orchestration_id": str(orchestration.pk),
        "orchestration_name": "Shouting",
        "version": 1,
        "status": "pending",
        "input": {"text": "hi"},
        "context": {"input": {"text": "hi"}, "errors": {}},
        "output": None,
        "error": None,
        "step_logs": [],
        "usage": {},
        "waiting_on": body["waiting_on"],
        "created_at": None,
        "started_at": None,
        "finished_at": None,
        "duration_ms": None,
        "created_by": user.username,
        "parent_execution_id": None,
        "origin": None,
    }


@pytest.mark.parametrize("body", [None, {}, {"input": {}}])
def test_an_input_may_be_left_out(
    api: APIClient, orchestration: Orchestration, body: Any
) -> None:
    response = api.post(url_of(orchestration), body)
    assert response.status_code == 202
    assert response.json()["input"] == {}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ([], {"": "wrong_type"}),
        ({"input": []}, {"/input": "wrong_type"}),
        ({"input": None}, {"/input": "wrong_type"}),
        ({"input": {"text": 5}}, {"/input/text": "wrong_type"}),
        ({"inputs": {}}, {"/inputs": "unknown_field"}),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    api: APIClient, orchestration: Orchestration, body: Any, errors: dict[str, str]
) -> None:
    response = api.post(url_of(orchestration), body)
    assert response.status_code == 400
    assert errors_of(response) == errors
    assert not Execution.objects.exists()


def test_what_cannot_run_is_refused(
    api: APIClient, orchestration: Orchestration
) -> None:
    Role.objects.update(is_active=False)
    response = api.post(url_of(orchestration), {})
    assert response.status_code == 409
    assert problem_of(response)["code"] == "not_runnable"
    assert "'Shouter'" in problem_of(response)["detail"]
    Orchestration.objects.update(is_active=False)
    assert api.post(url_of(orchestration), {}).status_code == 409


def test_others_and_the_archived_cannot_be_run(
    api: APIClient, other_api: APIClient, orchestration: Orchestration
) -> None:
    assert other_api.post(url_of(orchestration), {}).status_code == 404
    api.delete(f"/api/v1/orchestrations/{orchestration.pk}/")
    assert api.post(url_of(orchestration), {}).status_code == 404
    assert api.post(f"/api/v1/orchestrations/{uuid.uuid4()}/execute/").status_code == (
        404
    )


def test_a_repeated_request_starts_nothing_new(
    api: APIClient, orchestration: Orchestration
) -> None:
    body, key = {"input": {"text": "hi"}}, {"Idempotency-Key": "order-7"}
    first = api.post(url_of(orchestration), body, headers=key)
    again = api.post(url_of(orchestration), body, headers=key)
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    other = api.post(url_of(orchestration), {"input": {"text": "ho"}}, headers=key)
    assert other.status_code == 409
    assert problem_of(other)["code"] == "idempotency_key_reused"
    assert Execution.objects.count() == 1


def test_a_key_belongs_to_its_user(
    api: APIClient, staff_api: APIClient, orchestration: Orchestration
) -> None:
    key = {"Idempotency-Key": "order-7"}
    first = api.post(url_of(orchestration), headers=key)
    second = staff_api.post(url_of(orchestration), headers=key)
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "caf\u00e9\u0080"])
def test_a_key_that_cannot_be_kept_is_refused(
    api: APIClient, orchestration: Orchestration, key: str
) -> None:
    response = api.post(url_of(orchestration), HTTP_IDEMPOTENCY_KEY=key)
    assert response.status_code == 400
    assert problem_of(response)["code"] == "bad_idempotency_key"


@pytest.mark.django_db(transaction=True)
def test_twelve_posts_at_once_with_one_key_start_one_execution(
    user: User, orchestration: Orchestration
) -> None:
    clients = [client_of(user) for _ in range(12)]

    def post(client: APIClient) -> tuple[int, str, str | None]:
        try:
            response = client.post(
                url_of(orchestration), {}, HTTP_IDEMPOTENCY_KEY="order-7"
            )
            replayed = response.headers.get("Idempotent-Replayed")
            return response.status_code, response.json()["id"], replayed
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(post, clients))
    assert {(status, id_) for status, id_, _ in answers} == {(202, answers[0][1])}
    assert [replayed for *_, replayed in answers].count(None) == 1
    assert Execution.objects.count() == 1


def test_the_history_is_light_newest_first_and_filtered(
    api: APIClient, orchestration: Orchestration
) -> None:
    ids = [api.post(url_of(orchestration), {}).json()["id"] for _ in range(3)]
    api.post(f"{EXECUTIONS}{ids[0]}/cancel/")

    def listed(query: str) -> list[str]:
        response = api.get(EXECUTIONS + query)
        assert response.status_code == 200, response.json()
        for each in response.json()["results"]:
            assert not each.keys() & {"input", "output", "context", "step_logs"}
        return [each["id"] for each in response.json()["results"]]

    assert listed("") == ids[::-1]
    assert listed("?status=cancelled") == ids[:1]
    assert listed("?status=cancelled,pending") == ids[::-1]
    assert listed("?status=cancelled&status=failed") == ids[:1]
    assert listed(f"?orchestration={orchestration.pk}") == ids[::-1]
    assert listed("?orchestration=Shouting") == ids[::-1]
    assert listed("?orchestration=Whispering") == []
    assert listed("?search=shout") == ids[::-1]
    assert listed(f"?search={ids[1]}") == [ids[1]]
    assert ids[1] in listed(f"?search={ids[1][:11]}")
    assert listed("?search=ffff") == []
    second = Execution.objects.get(pk=ids[1]).created_at.isoformat()
    second = second.replace("+00:00", "Z")
    assert listed(f"?created_after={second}") == ids[:0:-1]
    assert listed(f"?created_before={second}") == ids[:1]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("?status=canceled", "/status"),
        ("?created_after=yesterday", "/created_after"),
        ("?search=%00", "/search"),
        ("?orchestration=%00", "/orchestration"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(
    api: APIClient, query: str, place: str
) -> None:
    response = api.get(EXECUTIONS + query)
    assert response.status_code == 400
    assert errors_of(response).keys() == {place}


def test_pages_follow_one_another(api: APIClient, orchestration: Orchestration) -> None:
    ids = [api.post(url_of(orchestration), {}).json()["id"] for _ in range(5)]
    seen, url = [], f"{EXECUTIONS}?page_size=2"
    while url:
        page = api.get(url).json()
        seen += [each["id"] for each in page["results"]]
        url = page["next"]
    assert seen == ids[::-1]
    assert page["previous"].startswith("http://")


@pytest.mark.parametrize(
    "cursor", ["x", "cD1ub3BlOy0t", "cD0lMDA=", "bz0xMDAwMDAwMDAwMDAwMDA="]
)
def test_a_forged_cursor_is_refused_or_empty(
    api: APIClient, orchestration: Orchestration, cursor: str
) -> None:
    for address in (EXECUTIONS, "/api/v1/roles/", "/api/v1/orchestrations/"):
        assert api.get(address, {"cursor": cursor}).status_code in (200, 404)


def test_executions_of_others_do_not_exist(
    api: APIClient, other_api: APIClient, orchestration: Orchestration
) -> None:
    url = api.post(url_of(orchestration), {}).headers["Location"]
    assert other_api.get(EXECUTIONS).json()["results"] == []
    assert other_api.get(url).status_code == 404
    assert other_api.post(f"{url}cancel/").status_code == 404
    assert api.get(url).json()["status"] == "pending"
