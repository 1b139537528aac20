"""Roles and API keys in the admin: errors at the field, keys shown once."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from roles import keys
from roles.models import ApiKey, Role

ROLES = "/admin/roles/role/"
KEYS = "/admin/roles/apikey/"

pytestmark = pytest.mark.django_db


def person(name: str, **rights: bool) -> User:
    return User.objects.create(username=name, is_staff=True, **rights)


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(person("root", is_superuser=True))
    return client


def form(**changes: Any) -> dict[str, Any]:
    entered = {
        "name": "Shouter",
        "kind": "function",
        "description": "",
        "is_active": "on",
        "base_prompt": "",
        "config": '{"function": "text.upper"}',
        "tools": "",
        "model_constraints": "",
        "input_schema": "",
        "output_schema": "",
    }
    return {**entered, **changes}


def errors(response: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def test_a_role_is_saved_as_the_api_would_save_it(admin: Client) -> None:
    response = admin.post(ROLES + "add/", form(input_schema='{"type": "string"}'))
    role = Role.objects.get()
    assert response.status_code == 302
    assert (role.config, role.tools) == ({"function": "text.upper"}, [])
    assert role.input_schema == {"type": "string"}
    assert role.output_schema is None
    assert role.created_by is not None
    assert role.created_by.username == "root"


def test_what_a_runner_refuses_stands_at_its_field(admin: Client) -> None:
    response = admin.post(ROLES + "add/", form(config='{"function": "text.uper"}'))
    assert "Did you mean 'text.upper'" in errors(response)["config"][0]
    assert not Role.objects.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Enter a valid JSON"),
        ('{"a": NaN}', "Enter a valid JSON"),
        ('{"a": "\\u0000"}', "NUL"),
        ("[" * 5000, "Enter a valid JSON"),
        ("9" * 5000, "Enter a valid JSON"),
        ("[" * 900 + "]" * 900, "deep"),
        ("[1]", "object"),
    ],
)
def test_json_that_cannot_be_kept_is_refused_at_the_field(
    admin: Client, text: str, complaint: str
) -> None:
    response = admin.post(ROLES + "add/", form(config=text))
    assert response.status_code == 200
    assert complaint in errors(response)["config"][0]


def test_a_name_that_is_taken_is_told_once(admin: Client) -> None:
    admin.post(ROLES + "add/", form())
    response = admin.post(ROLES + "add/", form())
    assert len(errors(response)["name"]) == 1


def test_json_is_shown_indented_and_null_as_nothing(admin: Client) -> None:
    role = Role.objects.create(name="R", kind="function", config={"function": "é"})
    page = admin.get(f"{ROLES}{role.pk}/change/").content.decode()
    assert "{\n  &quot;function&quot;: &quot;é&quot;\n}" in page
    assert ">null<" not in page


def test_markup_in_a_role_is_escaped(admin: Client) -> None:
    evil = "<script>alert(1)</script>"
    role = Role.objects.create(
        name=evil, description=evil, kind="function", config={"function": evil}
    )
    for page in (ROLES, f"{ROLES}{role.pk}/change/"):
        assert evil not in admin.get(page).content.decode()


def test_editing_keeps_the_row_and_its_owner(admin: Client) -> None:
    role = Role.objects.create(name="R", kind="function", config={"function": "x"})
    admin.post(f"{ROLES}{role.pk}/change/", form(name="Q"))
    changed = Role.objects.get()
    assert (changed.pk, changed.name, changed.created_by) == (role.pk, "Q", None)


def test_roles_are_switched_off_and_on_in_the_list(admin: Client) -> None:
    role = Role.objects.create(
        name="R", kind="function", config={"function": "text.upper"}
    )
    for action, active in (("deactivate", False), ("activate", True)):
        admin.post(ROLES, {"action": action, "_selected_action": [role.pk]})
        role.refresh_from_db()
        assert role.is_active is active


def test_the_list_of_roles_costs_the_same_for_many(
    admin: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        Role.objects.create(name=f"R{number}", kind="function")
    with django_assert_max_num_queries(6):
        page = admin.get(ROLES, {"q": "R", "kind": "function"})
    assert page.status_code == 200


def test_a_new_key_is_shown_once_and_works(admin: Client) -> None:
    user = User.objects.get()
    page = admin.post(KEYS + "add/", {"user": user.pk, "name": "ci"}, follow=True)
    (token,) = re.findall(r"core_[0-9a-f]{8}_[0-9a-f]{48}", page.content.decode())
    key = keys.find(token)
    assert key is not None
    assert key.name == "ci"
    assert token not in admin.get(KEYS).content.decode()


def test_the_digest_is_never_shown(admin: Client) -> None:
    key, _ = keys.issue(User.objects.get(), "ci")
    for page in (KEYS, f"{KEYS}{key.pk}/change/"):
        response = admin.get(page)
        assert response.status_code == 200
        assert key.digest not in response.content.decode()


def test_a_key_cannot_be_edited(admin: Client) -> None:
    key, _ = keys.issue(User.objects.get(), "ci")
    response = admin.post(f"{KEYS}{key.pk}/change/", {"user": 1, "name": "mine"})
    assert response.status_code == 403
    key.refresh_from_db()
    assert key.name == "ci"


def test_keys_are_revoked_in_the_list(admin: Client) -> None:
    key, token = keys.issue(User.objects.get(), "ci")
    data = {"action": "revoke", "_selected_action": [key.pk]}
    page = admin.post(KEYS, data, follow=True).content.decode()
    assert "Revoked 1 of 1" in page
    assert keys.find(token) is None
    assert "Revoked 0 of 1" in admin.post(KEYS, data, follow=True).content.decode()


def test_staff_get_keys_for_nobody_but_themselves(client: Client) -> None:
    root = person("root", is_superuser=True)
    keys.issue(root, "secret of root")
    eve = person("eve")
    eve.user_permissions.set(Permission.objects.filter(codename__endswith="_apikey"))
    client.force_login(eve)
    refused = client.post(KEYS + "add/", {"user": root.pk, "name": "n"})
    assert "user" in errors(refused)
    assert client.post(KEYS + "add/", {"user": eve.pk, "name": "n"}).status_code == 302
    assert ApiKey.objects.filter(user=root).count() == 1
    assert "secret of root" not in client.get(KEYS).content.decode()


def test_nobody_gets_in_without_a_login(client: Client) -> None:
    for page in (ROLES, KEYS, KEYS + "add/"):
        assert client.get(page).status_code == 302


def test_numbers_survive_a_round_trip(admin: Client) -> None:
    value = {"function": "text.upper", "arguments": {"n": 1.5, "big": 10**30}}
    admin.post(ROLES + "add/", form(config=json.dumps(value)))
    role = Role.objects.get()
    page = admin.get(f"{ROLES}{role.pk}/change/")
    shown = page.context["adminform"].form["config"].value()
    admin.post(f"{ROLES}{role.pk}/change/", form(config=shown))
    role.refresh_from_db()
    assert role.config == value
