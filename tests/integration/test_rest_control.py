"""Steering an execution over REST: what each verb does, when, and for whom."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from core_orchestration.models import Orchestration
from executions.models import Event, Execution
from roles.models import Role
from tests.integration.answers import details_of, errors_of, problem_of
from tests.integration.conftest import client_of
from tests.integration.engine import now_of, run_at
from tests.integration.states import brought

pytestmark = pytest.mark.django_db

EXECUTIONS = "/api/v1/executions/"
VERBS = ("cancel", "terminate", "pause", "resume", "retry")
BODIES: dict[str, Any] = {
    **dict.fromkeys(VERBS),
    "rerun": {},
    "fork": {"from_step": "a"},
    "settle": {"path": "a", "action": "fail"},
}


def url_of(execution: Execution, verb: str = "") -> str:
    return f"{EXECUTIONS}{execution.pk}/" + (f"{verb}/" if verb else "")


# --- the verbs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "verb", "status"),
    [
        ("pending", "cancel", "cancelled"),
        ("between", "cancel", "cancelled"),
        ("paused", "cancel", "cancelled"),
        ("claimed", "cancel", "running"),
        ("claimed", "terminate", "cancelled"),
        ("paused", "terminate", "cancelled"),
        ("pending", "pause", "paused"),
        ("claimed", "pause", "paused"),
        ("paused", "resume", "running"),
        ("failed", "retry", "running"),
        ("cancelled", "retry", "pending"),
    ],
)
def test_a_verb_does_what_it_says_and_says_it_again(
    api: APIClient, user: User, state: str, verb: str, status: str
) -> None:
    execution = brought(state, of=user)
    first = api.post(url_of(execution, verb), {"reason": "because"})
    assert first.status_code == 200, first.json()
    assert first.json()["status"] == status
    assert first.json() == api.get(url_of(execution)).json()
    again = api.post(url_of(execution, verb))
    assert again.status_code == 200, again.json()
    assert again.json()["status"] == status


@pytest.mark.parametrize(
    ("state", "verb", "code"),
    [
        ("completed", "cancel", "already_finished"),
        ("failed", "cancel", "already_finished"),
        ("completed", "terminate", "already_finished"),
        ("completed", "pause", "already_finished"),
        ("cancelled", "pause", "already_finished"),
        ("failed", "resume", "already_finished"),
        ("completed", "retry", "completed"),
    ],
)
def test_what_the_state_does_not_allow_is_refused_with_its_code(
    api: APIClient, user: User, state: str, verb: str, code: str
) -> None:
    execution = brought(state, of=user)
    response = api.post(url_of(execution, verb))
    assert response.status_code == 409
    assert problem_of(response)["code"] == code
    assert problem_of(response)["detail"]
    assert now_of(execution).status == execution.status


def test_a_cancellation_says_by_whom_and_why(api: APIClient, user: User) -> None:
    execution = brought("between", of=user)
    body = api.post(url_of(execution, "cancel"), {"reason": "not needed"}).json()
    assert (body["status"], body["error"]["message"]) == ("cancelled", "not needed")
    event = Event.objects.filter(execution=execution).latest("id")
    assert event.data is not None
    assert event.data | {"by": "ada", "reason": "not needed"} == event.data


def test_an_execution_is_cancelled_once_and_for_all(api: APIClient, user: User) -> None:
    execution = brought("pending", of=user)
    cancelled = api.post(url_of(execution, "cancel"))
    assert cancelled.json()["finished_at"] is not None
    again = api.post(url_of(execution, "cancel"), {"reason": "another"})
    assert (again.status_code, again.json()) == (200, cancelled.json())


def test_what_runs_is_asked_and_not_cut_off(api: APIClient, user: User) -> None:
    execution = brought("claimed", of=user)
    api.post(url_of(execution, "cancel"))
    assert run_at(execution, "a").status == "running"
    api.post(url_of(execution, "terminate"))
    assert run_at(execution, "a").status == "cancelled"


def test_a_retry_keeps_what_was_finished(api: APIClient, user: User) -> None:
    execution = brought("failed", of=user)
    body = api.post(url_of(execution, "retry")).json()
    assert body["error"] is None
    assert body["finished_at"] is None
    assert run_at(execution, "a").status == "completed"
    assert run_at(execution, "b").status != "failed"


# --- copies ---------------------------------------------------------------------------


def test_a_rerun_is_a_new_execution_with_its_origin(api: APIClient, user: User) -> None:
    execution = brought("failed", of=user, given={"n": 1})
    response = api.post(url_of(execution, "rerun"))
    assert response.status_code == 202, response.json()
    copy = api.get(response.headers["Location"]).json()
    assert copy == response.json()
    assert copy["id"] != str(execution.pk)
    assert (copy["input"], copy["created_by"]) == ({"n": 1}, "ada")
    assert copy["origin"] == {
        "kind": "rerun",
        "execution_id": str(execution.pk),
        "from_step": None,
    }
    listed = api.get(EXECUTIONS).json()["results"]
    assert {each["id"]: each["origin"] for each in listed} == {
        copy["id"]: copy["origin"],
        str(execution.pk): None,
    }


def test_a_rerun_may_have_another_input(api: APIClient, user: User) -> None:
    execution = brought("completed", of=user, given={"n": 1})
    body = {"input": {"n": 2}, "version": 1}
    copy = api.post(url_of(execution, "rerun"), body).json()
    assert (copy["input"], copy["version"]) == ({"n": 2}, 1)


def test_a_fork_takes_over_what_was_before(api: APIClient, user: User) -> None:
    execution = brought("failed", of=user)
    response = api.post(url_of(execution, "fork"), {"from_step": "b"})
    assert response.status_code == 202, response.json()
    copy = response.json()
    assert copy["origin"] == {
        "kind": "fork",
        "execution_id": str(execution.pk),
        "from_step": "b",
    }
    assert [
        (log["path"], log["status"], log["output"]) for log in copy["step_logs"]
    ] == [("a", "completed", {"n": 1})]


@pytest.mark.parametrize("verb", ["rerun", "fork"])
def test_a_repeated_request_makes_one_copy(
    api: APIClient, user: User, verb: str
) -> None:
    execution = brought("failed", of=user)
    key = {"Idempotency-Key": "again-7"}
    body = BODIES[verb]
    first = api.post(url_of(execution, verb), body, headers=key)
    again = api.post(url_of(execution, verb), body, headers=key)
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    other = api.post(url_of(execution, verb), {**body, "input": {"n": 5}}, headers=key)
    assert problem_of(other)["code"] == "idempotency_key_reused"
    bad = api.post(url_of(execution, verb), body, headers={"Idempotency-Key": ""})
    assert problem_of(bad)["code"] == "bad_idempotency_key"
    assert Execution.objects.count() == 2


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("fork", {"from_step": "zzz"}),
        ("fork", {"from_step": "b"}),  # a, before it, has not ended
        ("rerun", {"version": 7}),
        ("rerun", {"version": 0}),
        ("rerun", {"version": -(10**30)}),
    ],
)
def test_what_cannot_be_copied_is_refused(
    api: APIClient, user: User, verb: str, body: dict[str, Any]
) -> None:
    execution = brought("pending", of=user)
    response = api.post(url_of(execution, verb), body)
    assert response.status_code == 409
    assert problem_of(response)["code"] in ("not_copyable", "not_runnable")
    assert Execution.objects.count() == 1


def test_a_copy_of_what_cannot_run_is_refused(api: APIClient, user: User) -> None:
    execution = brought("failed", of=user)
    Orchestration.objects.update(is_active=False)
    for verb in ("fork", "rerun"):
        response = api.post(url_of(execution, verb), BODIES[verb])
        assert problem_of(response)["code"] == "not_runnable"
    Orchestration.objects.update(is_active=True)
    Role.objects.update(is_active=False)
    response = api.post(url_of(execution, "rerun"))
    assert problem_of(response)["code"] == "not_runnable"


def test_an_input_of_a_copy_is_checked(api: APIClient, user: User) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    execution = brought("failed", of=user, input_schema=schema)
    for verb in ("fork", "rerun"):
        body = {**BODIES[verb], "input": {"n": "one"}}
        response = api.post(url_of(execution, verb), body)
        assert response.status_code == 400
        assert errors_of(response) == {"/input/n": "wrong_type"}


# --- steps that need attention --------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "step"),
    [
        ({"action": "complete", "output": {"n": 3}}, "running", "completed"),
        ({"action": "complete"}, "running", "completed"),
        ({"action": "complete", "output": "x" * 5000}, "running", "completed"),
        ({"action": "complete", "output": True}, "running", "completed"),
        ({"action": "fail", "reason": "It was not sent."}, "failed", "failed"),
        ({"action": "run_again"}, "running", "retrying"),
    ],
)
def test_a_step_is_settled_once(
    api: APIClient, user: User, body: dict[str, Any], status: str, step: str
) -> None:
    execution = brought("aside", of=user)
    assert execution.status == "waiting"
    response = api.post(url_of(execution, "settle"), {"path": "a", **body})
    assert response.status_code == 200, response.json()
    assert response.json()["status"] == status
    log = response.json()["step_logs"][0]
    assert log["output"] == body.get("output")
    assert (log["status"] == step) or body["action"] == "run_again"
    if "reason" in body:
        assert body["reason"] in log["error"]["message"]


@pytest.mark.parametrize(
    ("state", "path", "code"),
    [
        ("aside", "zzz", "unknown_step"),
        ("aside", "b", "needs_no_attention"),
        ("claimed", "a", "needs_no_attention"),
    ],
)
def test_a_step_that_does_not_wait_is_not_settled(
    api: APIClient, user: User, state: str, path: str, code: str
) -> None:
    execution = brought(state, of=user)
    body = {"path": path, "action": "run_again"}
    response = api.post(url_of(execution, "settle"), body)
    assert response.status_code == 409, response.json()
    assert problem_of(response)["code"] == code


# --- bodies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "body", "errors"),
    [
        *((verb, {"reason": 5}, {"/reason": "wrong_type"}) for verb in VERBS),
        *((verb, {"raeson": "x"}, {"/raeson": "unknown_field"}) for verb in VERBS),
        *((verb, {"reason": "x" * 1001}, {"/reason": "too_long"}) for verb in VERBS),
        ("cancel", [], {"": "wrong_type"}),
        ("rerun", {"input": []}, {"/input": "wrong_type"}),
        ("rerun", {"version": "1"}, {"/version": "wrong_type"}),
        ("rerun", {"version": True}, {"/version": "wrong_type"}),
        ("rerun", {"version": 1.5}, {"/version": "wrong_type"}),
        ("rerun", {"from_step": "a"}, {"/from_step": "unknown_field"}),
        ("fork", {}, {"": "required"}),
        ("fork", {"from_step": 1}, {"/from_step": "wrong_type"}),
        ("fork", {"from_step": "a", "inptu": {}}, {"/inptu": "unknown_field"}),
        ("settle", {"path": "a"}, {"": "required"}),
        ("settle", {"action": "fail", "path": 7}, {"/path": "wrong_type"}),
        ("settle", {"path": "a", "action": "done"}, {"/action": "unknown_value"}),
        (
            "settle",
            {"path": "a", "action": "fail", "output": 1},
            {"/output": "not_allowed"},
        ),
    ],
)
def test_a_body_that_is_none_does_nothing(
    api: APIClient, user: User, verb: str, body: Any, errors: dict[str, str]
) -> None:
    execution = brought("aside", of=user)
    before = api.get(url_of(execution)).json()
    response = api.post(url_of(execution, verb), body)
    assert response.status_code == 400
    assert errors_of(response) == errors
    assert all(details_of(response).values())
    assert api.get(url_of(execution)).json() == before
    assert Execution.objects.count() == 1


# --- whose they are -------------------------------------------------------------------


@pytest.mark.parametrize("verb", BODIES)
def test_executions_of_others_do_not_exist(
    other_api: APIClient, user: User, verb: str
) -> None:
    execution = brought("failed", of=user)
    response = other_api.post(url_of(execution, verb), BODIES[verb])
    assert response.status_code == 404
    assert problem_of(response)["code"] == "not_found"
    assert Execution.objects.count() == 1


@pytest.mark.parametrize("verb", BODIES)
def test_what_is_shared_is_read_and_not_steered(api: APIClient, verb: str) -> None:
    execution = brought("failed")
    assert api.get(url_of(execution)).status_code == 200
    response = api.post(url_of(execution, verb), BODIES[verb])
    assert response.status_code == 403
    assert problem_of(response)["code"] == "permission_denied"
    assert now_of(execution).status == "failed"
    assert Execution.objects.count() == 1


def test_staff_steer_everything(staff: User, user: User) -> None:
    execution = brought("claimed", of=user)
    response = client_of(staff).post(url_of(execution, "pause"))
    assert response.json()["status"] == "paused"


@pytest.mark.parametrize("verb", BODIES)
def test_an_execution_that_is_not_there_is_not_found(
    staff_api: APIClient, verb: str
) -> None:
    response = staff_api.post(f"{EXECUTIONS}{uuid4()}/{verb}/", BODIES[verb])
    assert response.status_code == 404
    assert problem_of(response)["code"] == "not_found"


@pytest.mark.parametrize("verb", BODIES)
def test_nobody_steers_without_a_key(anonymous: APIClient, verb: str) -> None:
    execution = brought("between")
    response = anonymous.post(url_of(execution, verb), BODIES[verb])
    assert response.status_code == 401
    assert anonymous.get(url_of(execution, verb)).status_code == 401
    assert now_of(execution).status == "running"


def test_every_verb_is_described(staff_api: APIClient) -> None:
    paths = staff_api.get("/api/v1/schema/").json()["paths"]
    for verb in BODIES:
        described = paths[f"{EXECUTIONS}{{id}}/{verb}/"]["post"]
        assert described["summary"]
        assert described["requestBody"]
        assert "default" in described["responses"]
    fork = paths[f"{EXECUTIONS}{{id}}/fork/"]["post"]
    assert {each["name"] for each in fork["parameters"]} == {"id", "Idempotency-Key"}
    assert "Location" in fork["responses"]["202"]["headers"]
