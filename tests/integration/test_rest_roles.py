"""Roles over REST: made, read, changed and removed, and refused with every reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from roles.models import Role
from tests.integration.answers import errors_of

ROLES = "/api/v1/roles/"
DOCUMENT = {
    "name": "Shouter",
    "kind": "function",
    "config": {"function": "text.upper"},
}
MakeRole = Callable[..., Role]


def test_a_role_is_made_and_read_back(api: APIClient, user: User) -> None:
    made = api.post(ROLES, DOCUMENT)
    assert made.status_code == 201
    read = api.get(made.headers["Location"])
    assert read.status_code == 200
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"]
    assert read.json() == {
        **DOCUMENT,
        "id": made.json()["id"],
        "description": "",
        "base_prompt": "",
        "tools": [],
        "needs_tools": False,
        "model_constraints": {},
        "input_schema": None,
        "output_schema": None,
        "is_active": True,
        "provenance": None,
        "created_at": made.json()["created_at"],
        "updated_at": made.json()["updated_at"],
    }
    assert Role.objects.get().created_by == user


def test_every_fault_of_a_role_is_named_at_once(api: APIClient) -> None:
    response = api.post(
        ROLES,
        {
            "name": " ",
            "kind": "functoin",
            "config": [],
            "tools": ["ok", 3],
            "needs_tools": "yes",
            "is_active": 1,
            "input_schema": {"type": "strin"},
            "base_promt": "You are…",
        },
    )
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert errors_of(response) == {
        "/name": "blank",
        "/kind": "unknown_kind",
        "/config": "wrong_type",
        "/tools/0": "unknown_tool",
        "/tools/1": "wrong_type",
        "/needs_tools": "wrong_type",
        "/is_active": "wrong_type",
        "/input_schema/type": "invalid_schema",
        "/base_promt": "unknown_field",
    }
    details = {each["pointer"]: each["detail"] for each in response.json()["errors"]}
    assert "'function'" in details["/kind"]
    assert "'base_prompt'" in details["/base_promt"]
    assert not Role.objects.exists()


@pytest.mark.parametrize("body", ["[]", '"role"', "null", "7"])
def test_a_role_that_is_no_object_is_refused(api: APIClient, body: str) -> None:
    for call in (api.post, lambda *a, **k: api.put(*a, **k)):
        response = call(ROLES, body, content_type="application/json")
        assert response.status_code in (400, 405)
    assert errors_of(api.post(ROLES, body, content_type="application/json")) == {
        "": "wrong_type"
    }


def test_faults_of_an_agents_tools_hide_no_others(api: APIClient) -> None:
    response = api.post(
        ROLES,
        {
            "name": "Ann",
            "kind": "agent",
            "tools": ["metta"],
            "config": {"temperature": "hot", "policy": {"max_rolls": 1}},
            "model_constraints": {"tier": "huge"},
        },
    )
    assert errors_of(response) == {
        "/tools/0": "unknown_tool",
        "/config/temperature": "invalid",
        "/config/policy/max_rolls": "unknown_field",
        "/model_constraints/tier": "invalid",
    }


def test_name_and_kind_are_needed(api: APIClient) -> None:
    errors = api.post(ROLES, {}).json()["errors"]
    assert [each["code"] for each in errors] == ["required", "required"]


def test_the_runner_judges_the_configuration(api: APIClient) -> None:
    response = api.post(ROLES, DOCUMENT | {"config": {"function": "text.uper"}})
    assert errors_of(response) == {"/config/function": "invalid"}


def test_a_name_is_taken_once(api: APIClient, make_role: MakeRole) -> None:
    make_role("Shouter")
    assert errors_of(api.post(ROLES, DOCUMENT)) == {"/name": "name_taken"}


def test_a_name_too_long_is_refused(api: APIClient) -> None:
    response = api.post(ROLES, DOCUMENT | {"name": "x" * 201})
    assert errors_of(response) == {"/name": "too_long"}


def test_put_replaces_and_patch_changes(api: APIClient, make_role: MakeRole) -> None:
    role = make_role(description="Speaks up.")
    url = f"{ROLES}{role.pk}/"
    assert api.patch(url, {"base_prompt": "Loud."}).json()["description"] == (
        "Speaks up."
    )
    replaced = api.put(url, DOCUMENT)
    assert replaced.status_code == 200
    assert replaced.json()["description"] == ""
    assert replaced.json()["base_prompt"] == ""


def test_what_was_read_can_be_put_back(api: APIClient, make_role: MakeRole) -> None:
    url = f"{ROLES}{make_role().pk}/"
    assert api.put(url, api.get(url).json()).status_code == 200


def test_a_patch_that_breaks_the_role_changes_nothing(
    api: APIClient, make_role: MakeRole
) -> None:
    role = make_role()
    response = api.patch(f"{ROLES}{role.pk}/", {"kind": "smtp", "name": "New"})
    assert errors_of(response) == {"/kind": "unknown_kind"}
    assert Role.objects.get().name == "Shouter"


def test_an_unused_role_is_removed(api: APIClient, make_role: MakeRole) -> None:
    url = f"{ROLES}{make_role().pk}/"
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_lists_are_filtered_and_ordered_by_name(
    api: APIClient, make_role: MakeRole
) -> None:
    make_role("Writer", description="writes plain English")
    make_role("Critic", is_active=False)
    make_role("Fetcher", kind="http", config={})

    def names(query: str) -> list[str]:
        return [role["name"] for role in api.get(ROLES + query).json()["results"]]

    assert names("") == ["Critic", "Fetcher", "Writer"]
    assert names("?name=Writer") == ["Writer"]
    assert names("?kind=http") == ["Fetcher"]
    assert names("?is_active=false") == ["Critic"]
    assert names("?is_active=True") == ["Fetcher", "Writer"]
    assert names("?search=ENGLISH") == ["Writer"]


def test_a_filter_that_cannot_be_read_is_refused(api: APIClient) -> None:
    assert errors_of(api.get(ROLES + "?name=%00")) == {
        "/name": "null_characters_not_allowed"
    }
    assert errors_of(api.get(ROLES + "?is_active=maybe")) == {"/is_active": "invalid"}
