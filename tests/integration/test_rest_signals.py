"""Events over REST: posted to everybody who waits, or to one execution; and for whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from executions import control
from executions.launch import launch
from executions.models import Execution, Signal
from tests.integration.answers import details_of, errors_of, problem_of
from tests.integration.engine import deliver_all, now_of, orchestration, run_at

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker"),
]

EVENTS = "/api/v1/events/"
PAID = {"name": "paid", "payload": {"order": 17}}


@pytest.fixture
def waits(broker: redis.Redis, user: User) -> Execution:
    """An execution of ada's that waits for the event `paid`."""
    return waiting(broker, user)


def waiting(broker: redis.Redis, owner: User | None, **config: Any) -> Execution:
    settings = {"event": "paid", **config}
    made = orchestration({"key": "w", "step_type": "wait", "config": settings})
    execution = launch(made, {}, by=owner)
    deliver_all(broker)
    return now_of(execution)


def address_of(execution: Execution, what: str = "signal/") -> str:
    return f"/api/v1/executions/{execution.pk}/{what}"


@pytest.fixture(params=["all", "one"])
def address(request: pytest.FixtureRequest, waits: Execution) -> str:
    return EVENTS if request.param == "all" else address_of(waits)


def test_an_event_is_kept_and_handed_out(
    api: APIClient, waits: Execution, address: str
) -> None:
    response = api.post(address, PAID)
    assert response.status_code == 202, response.json()
    body = response.json()
    assert body.keys() == {"id", "name", "created_at", "delivered"}
    assert (body["name"], body["delivered"]) == ("paid", 1)
    assert Signal.objects.get().pk == UUID(body["id"])
    read = api.get(address_of(waits, "")).json()
    assert read["status"] == "completed"
    assert read["context"]["w"] == PAID["payload"]


def test_a_payload_may_be_left_out(api: APIClient, address: str) -> None:
    assert api.post(address, {"name": "paid"}).json()["delivered"] == 1


@pytest.mark.parametrize("payload", [None, 1, "x", [], {"a": [None]}, True])
def test_a_payload_is_any_json(
    api: APIClient, waits: Execution, address: str, payload: Any
) -> None:
    assert api.post(address, {"name": "paid", "payload": payload}).status_code == 202
    assert run_at(waits, "w").output == payload


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"": "required"}),
        ({"name": 1}, {"/name": "wrong_type"}),
        ({"name": ""}, {"/name": "wrong_length"}),
        ({"name": "x" * 201}, {"/name": "wrong_length"}),
        ({"name": "a", "payloads": 1}, {"/payloads": "unknown_field"}),
        ({"name": "a", "payload": "\0"}, {"/payload": "nul_character"}),
        ([], {"": "wrong_type"}),
    ],
)
def test_what_cannot_be_read_is_named(
    api: APIClient, address: str, body: Any, errors: dict[str, str]
) -> None:
    response = api.post(address, body)
    assert response.status_code == 400
    assert errors_of(response) == errors
    assert not Signal.objects.exists()


def test_a_misspelled_field_is_guessed(api: APIClient, address: str) -> None:
    response = api.post(address, {"name": "a", "paylod": 1})
    assert "Did you mean 'payload'?" in details_of(response)["/paylod"]


# --- the key that repeats none ----------------------------------------------------------


def test_a_repeated_request_posts_nothing_new(api: APIClient, address: str) -> None:
    first = api.post(address, PAID, headers={"Idempotency-Key": "k"})
    again = api.post(address, PAID, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Signal.objects.count() == 1


def test_another_body_under_the_same_key_is_refused(
    api: APIClient, other_api: APIClient, waits: Execution
) -> None:
    api.post(EVENTS, PAID, headers={"Idempotency-Key": "k"})
    for address, body in (
        (EVENTS, {"name": "paid"}),
        (EVENTS, {**PAID, "name": "unpaid"}),
    ):
        response = api.post(address, body, headers={"Idempotency-Key": "k"})
        assert response.status_code == 409
        assert problem_of(response)["code"] == "idempotency_key_reused"
    others = other_api.post(EVENTS, {"name": "x"}, headers={"Idempotency-Key": "k"})
    assert others.status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x01"])
def test_a_bad_key_is_refused(api: APIClient, address: str, key: str) -> None:
    response = api.post(address, PAID, headers={"Idempotency-Key": key})
    assert problem_of(response)["code"] == "bad_idempotency_key"


# --- for whom ---------------------------------------------------------------------------


def test_nobody_else_gets_the_event(other_api: APIClient, waits: Execution) -> None:
    assert other_api.post(EVENTS, PAID).json()["delivered"] == 0
    assert now_of(waits).status == "waiting"


def test_what_staff_posts_is_for_everybody(
    staff_api: APIClient, waits: Execution, address: str
) -> None:
    assert staff_api.post(address, PAID).json()["delivered"] == 1


def test_executions_of_others_do_not_exist(
    other_api: APIClient, waits: Execution
) -> None:
    response = other_api.post(address_of(waits), PAID)
    assert (response.status_code, problem_of(response)["code"]) == (404, "not_found")
    assert not Signal.objects.exists()


def test_those_of_nobody_are_for_staff(
    broker: redis.Redis, api: APIClient, staff_api: APIClient
) -> None:
    shared = waiting(broker, None)
    assert api.post(address_of(shared), PAID).status_code == 403
    assert staff_api.post(address_of(shared), PAID).json()["delivered"] == 1


def test_there_must_be_such_an_execution(api: APIClient) -> None:
    response = api.post(f"/api/v1/executions/{uuid4()}/signal/", PAID)
    assert response.status_code == 404


def test_without_a_key_nobody_posts(anonymous: APIClient, address: str) -> None:
    assert anonymous.post(address, PAID).status_code == 401


@pytest.mark.parametrize("verb", ["get", "put", "delete"])
def test_events_are_posted_and_nothing_else(api: APIClient, verb: str) -> None:
    assert getattr(api, verb)(EVENTS).status_code == 405


def test_one_that_has_ended_says_so(api: APIClient, waits: Execution) -> None:
    control.terminate(waits.pk, by=None)
    response = api.post(address_of(waits), PAID)
    assert response.status_code == 409
    assert problem_of(response)["code"] == "already_finished"


def test_what_was_posted_before_the_end_is_known_after_it(
    api: APIClient, waits: Execution
) -> None:
    first = api.post(address_of(waits), PAID, headers={"Idempotency-Key": "k"})
    assert now_of(waits).status == "completed"
    again = api.post(address_of(waits), PAID, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (202, first.json())


# --- what is waited for -----------------------------------------------------------------


def test_a_step_says_which_event_it_waits_for(
    broker: redis.Redis, api: APIClient, user: User
) -> None:
    execution = waiting(broker, user, timeout_ms=3_600_000)
    read = api.get(address_of(execution, "")).json()
    answer = read["waiting_on"]
    run = run_at(execution, "w")
    assert (answer["kind"], answer["step_key"]) == ("wait", "w")
    assert "'paid'" in answer["detail"]
    assert "/api/v1/events/" in answer["help"]
    assert datetime.fromisoformat(answer["since"]) == run.started_at
    assert datetime.fromisoformat(answer["expected"]) == run.retry_at
    assert read["step_logs"][0]["waiting_on"] == answer


def test_without_a_limit_there_is_no_end_to_it(
    api: APIClient, waits: Execution
) -> None:
    answer = api.get(address_of(waits, "")).json()["waiting_on"]
    assert answer["expected"] is None


def test_events_are_described(api: APIClient) -> None:
    paths = api.get("/api/v1/schema/").json()["paths"]
    for path in (EVENTS, "/api/v1/executions/{id}/signal/"):
        described = paths[path]["post"]
        assert described["responses"].keys() == {"202", "default"}
        assert described["tags"] == ["events"]
        assert "Idempotency-Key" in [each["name"] for each in described["parameters"]]
    assert paths[EVENTS].keys() == {"post"}
