"""What is done on failure, what undoes steps, and limits: over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from core_orchestration.models import Orchestration
from roles.models import Role
from tests.integration.answers import details_of, errors_of

ORCHESTRATIONS = "/api/v1/orchestrations/"
MakeRole = Callable[..., Role]


@pytest.fixture(autouse=True)
def shouter(make_role: MakeRole) -> Role:
    return make_role("Shouter")


def step(step_key: str, **fields: Any) -> dict[str, Any]:
    named = {"key": step_key, "name": step_key.title(), "role_name": "Shouter"}
    return named | fields


def guarded(**fields: Any) -> dict[str, Any]:
    """An orchestration of everything that waits, is undone, or follows a failure."""
    ask = {
        "key": "ask",
        "name": "Ask",
        "step_type": "approval",
        "config": {"prompt": "Pay {{ context.pay }}?", "groups": ["managers"]},
    }
    booked = {
        "key": "booked",
        "name": "Booked",
        "step_type": "wait",
        "config": {
            "event": "booked",
            "match": {"field": "event.payload.id", "operator": "==", "value": 1},
        },
    }
    again = {
        "key": "again",
        "name": "Again",
        "step_type": "orchestration",
        "config": {"orchestration_name": "Guarded", "wait": False},
    }
    pay = step("pay", compensate={"role_name": "Shouter"}, milestone="tell")
    tell = step("tell", input_mapping="{{ context.failure.message }}")
    return {
        "name": "Guarded",
        "steps": [pay, ask, booked],
        "on_failure": [tell, again],
        "limits": {"max_depth": 3},
        **fields,
    }


def test_all_of_it_is_made_read_back_and_put_back(api: APIClient) -> None:
    made = api.post(ORCHESTRATIONS, guarded())
    assert made.status_code == 201, made.json()
    read = api.get(made.headers["Location"])
    body = read.json()
    assert body == made.json()
    assert body["limits"] == {"max_depth": 3}
    assert [each["key"] for each in body["steps"]] == ["pay", "ask", "booked"]
    assert [each["key"] for each in body["on_failure"]] == ["tell", "again"]
    assert body["steps"][0]["compensate"] == {"role_name": "Shouter"}
    assert body["steps"][0]["milestone"] == "tell"
    assert body["steps"][1]["compensate"] is None
    again = api.put(made.headers["Location"], body)
    assert again.status_code == 200, again.json()
    assert again.json() | {"updated_at": None} == body | {"updated_at": None}


def test_what_is_left_out_is_empty(api: APIClient) -> None:
    made = api.post(ORCHESTRATIONS, {"name": "Plain", "steps": [step("a")]}).json()
    assert (made["on_failure"], made["limits"]) == ([], {})
    assert made["steps"][0]["milestone"] is None
    (listed,) = api.get(ORCHESTRATIONS).json()["results"]
    assert "on_failure" not in listed
    assert listed["limits"] == {}


def test_one_list_is_patched_without_the_other(api: APIClient) -> None:
    address = api.post(ORCHESTRATIONS, guarded()).headers["Location"]
    patched = api.patch(address, {"on_failure": [step("tell")]})
    assert patched.status_code == 200, patched.json()
    body = patched.json()
    assert (body["version"], len(body["steps"])) == (2, 3)
    assert [each["key"] for each in body["on_failure"]] == ["tell"]
    unread = api.patch(address, {"on_failure": []})
    assert errors_of(unread) == {"/steps/0/milestone": "unknown_step"}
    assert api.get(address).json() == body
    without = api.patch(address, {"steps": [step("pay")], "on_failure": []})
    assert without.json()["on_failure"] == []


def test_faults_are_named_with_their_places(api: APIClient) -> None:
    faulty = guarded(limits={"max_depth": 21, "max_step": 1})
    faulty["steps"][0]["compensate"] = {"role_name": "Shoutr", "order": 1}
    faulty["steps"][0]["milestone"] = "pay"
    faulty["steps"][1]["config"]["on_timeout"] = "approve"
    faulty["steps"][2]["config"]["duration_ms"] = 5
    faulty["on_failure"][0]["key"] = "pay"
    faulty["on_failure"][1]["config"]["orchestration_name"] = "Gaurded"
    refused = api.post(ORCHESTRATIONS, faulty)
    assert errors_of(refused) == {
        "/limits/max_depth": "above_limit",
        "/limits/max_step": "unknown_field",
        "/steps/0/compensate/role_name": "unknown_role",
        "/steps/0/compensate/order": "unknown_field",
        "/steps/0/milestone": "self_reference",
        "/steps/1/config/on_timeout": "unexpected_field",
        "/steps/2/config/event": "conflicting_fields",
        "/on_failure/0/key": "duplicate_key",
        "/on_failure/1/config/orchestration_name": "unknown_orchestration",
    }
    details = details_of(refused)
    assert "20" in details["/limits/max_depth"]
    assert "'Guarded'" in details["/on_failure/1/config/orchestration_name"]
    assert not Orchestration.objects.exists()


@pytest.mark.parametrize("on_failure", [None, {}, "x", 5, [5], [None], [{}]])
def test_nonsense_on_failure_is_refused(api: APIClient, on_failure: object) -> None:
    refused = api.post(ORCHESTRATIONS, guarded(on_failure=on_failure))
    assert refused.status_code == 400
    assert any(at.startswith("/on_failure") for at in errors_of(refused))


def test_the_role_that_undoes_is_not_removed(
    api: APIClient, make_role: MakeRole
) -> None:
    undoer = make_role("Undoer")
    whole = guarded()
    whole["steps"][0]["compensate"] = {"role_id": str(undoer.pk)}
    address = api.post(ORCHESTRATIONS, whole).headers["Location"]
    url = f"/api/v1/roles/{undoer.pk}/"
    assert api.delete(url).status_code == 409
    api.delete(address)
    assert api.delete(url).status_code == 204


def test_it_is_described(api: APIClient, make_role: MakeRole) -> None:
    schema = api.get("/api/v1/schema/").json()
    schemas = schema["components"]["schemas"]
    described = schemas["Step"]["properties"]
    for kind in ("wait", "approval", "orchestration"):
        assert f"`{kind}`" in described["step_type"]["description"]
    for name in ("duration_ms", "escalate_to", "orchestration_name", "match"):
        assert f"`{name}`" in described["config"]["description"]
    assert described["milestone"]["type"] == ["string", "null"]
    assert "undoes" in described["compensate"]["description"]
    whole = schemas["Orchestration"]["properties"]
    assert whole["on_failure"]["items"] == {"$ref": "#/components/schemas/Step"}
    assert set(schemas["Limits"]["properties"]) == {
        "max_steps",
        "max_fan_out",
        "max_depth",
        "max_iterations",
        "max_context_bytes",
    }
    for name in ("Payments", "Canceller", "Messenger"):
        make_role(name)
    request = schema["paths"][ORCHESTRATIONS]["post"]["requestBody"]
    examples = request["content"]["application/json"]["examples"]
    value = examples["AnApproval,AWait,AndWhatIsDoneOnFailure"]["value"]
    made = api.post(ORCHESTRATIONS, value)
    assert made.status_code == 201, made.json()
