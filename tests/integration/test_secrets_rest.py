"""Secrets over REST: written, described, and in no answer, page, entry or log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from roles.models import AuditEntry, Role, Secret
from roles.secrets import vault
from tests.integration.answers import details_of, errors_of, problem_of

SECRETS = "/api/v1/secrets/"
PAGES = "/admin/roles/secret/"
CANARY = "canary-of-the-api-8Zt3"
DOCUMENT = {"name": "weather-key", "value": CANARY}


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    vault.forget()


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client.force_login(root)
    return client


def made(api: APIClient, **changes: Any) -> str:
    response = api.post(SECRETS, DOCUMENT | changes)
    assert response.status_code == 201, response.content
    return str(response.headers["Location"])


def value() -> str:
    vault.forget()
    return str(vault.opened(["weather-key"])["weather-key"])


def test_a_secret_is_made_and_described(api: APIClient, user: User) -> None:
    fields = {"description": "d", "allowed_hosts": ["api.example", "localhost:8080"]}
    response = api.post(SECRETS, DOCUMENT | fields)
    assert response.status_code == 201
    read = api.get(response.headers["Location"])
    assert read.json() == response.json()
    assert read.headers["ETag"] == response.headers["ETag"]
    assert read.json() == {
        "id": read.json()["id"],
        "name": "weather-key",
        **fields,
        "created_at": read.json()["created_at"],
        "updated_at": read.json()["updated_at"],
    }
    assert Secret.objects.get().created_by == user
    assert value() == CANARY


def test_the_value_is_in_no_answer_entry_page_or_log(
    api: APIClient, admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = made(api)
    role = {
        "name": "web",
        "kind": "http",
        "config": {"url": "https://x.example", "query": {"$k": {"$secret": CANARY}}},
    }
    page = f"{PAGES}{Secret.objects.get().pk}/"
    answers: list[Any] = [
        api.get(SECRETS),
        api.get(url),
        api.patch(url, {"value": CANARY + "2"}),
        api.put(url, {**DOCUMENT, "nonsense": 1}),
        api.put(url, {**DOCUMENT, "value": [CANARY]}),
        api.put(url, {**DOCUMENT, "value": CANARY + "\0"}),
        api.patch(url, {"value": CANARY}, HTTP_IF_MATCH='"stale"'),
        api.post(SECRETS, DOCUMENT),
        api.post(SECRETS, DOCUMENT | {"name": "Wrong Name"}),
        api.post("/api/v1/roles/", role | {"config": {"url": {"$secret": 1}}}),
        api.get("/api/v1/schema/"),
        admin.get(PAGES),
        admin.get(page),
        admin.post(page, {"name": "Wrong Name", "value": CANARY}),
        admin.get(f"{page}history/"),
        admin.get(f"{page}delete/"),
    ]
    for answer in answers:
        assert CANARY not in answer.content.decode()
    assert CANARY not in str(list(AuditEntry.objects.values()))
    assert CANARY not in caplog.text
    assert value() == CANARY + "2"


def test_every_fault_is_named_at_once(api: APIClient) -> None:
    hosts = [
        "ok.example",
        "https://x",
        "a b",
        "",
        3,
        "*.example",
        "x:port",
        "a/b",
        ":1",
    ]
    response = api.post(
        SECRETS,
        {
            "name": "Weather Key",
            "valu": CANARY,
            "description": 1,
            "allowed_hosts": hosts,
        },
    )
    assert errors_of(response) == {
        "": "required",
        "/name": "invalid_name",
        "/valu": "unknown_field",
        "/description": "wrong_type",
        **{
            f"/allowed_hosts/{place}": "invalid_host" for place in (1, 2, 3, 5, 6, 7, 8)
        },
        "/allowed_hosts/4": "wrong_type",
    }
    assert "'value'" in details_of(response)["/valu"]
    assert not Secret.objects.exists()


@pytest.mark.parametrize("body", ["[]", '"secret"', "null", "7"])
def test_a_secret_that_is_no_object_is_refused(api: APIClient, body: str) -> None:
    response = api.post(SECRETS, body, content_type="application/json")
    assert errors_of(response) == {"": "wrong_type"}


@pytest.mark.parametrize(
    ("short", "code"), [("", "too_short"), ("1234567", "too_short"), (7, "wrong_type")]
)
def test_a_value_that_could_not_be_redacted_is_refused(
    api: APIClient, short: Any, code: str
) -> None:
    response = api.post(SECRETS, DOCUMENT | {"value": short})
    assert errors_of(response) == {"/value": code}


def test_a_name_is_taken_once(api: APIClient, other_api: APIClient) -> None:
    made(api)
    assert errors_of(other_api.post(SECRETS, DOCUMENT)) == {"/name": "name_taken"}


def test_without_a_value_a_secret_keeps_its_own(api: APIClient) -> None:
    url = made(api, allowed_hosts=["api.example"])
    assert api.put(url, api.get(url).json()).status_code == 200
    assert api.patch(url, {"description": "d"}).json()["allowed_hosts"] == [
        "api.example"
    ]
    assert api.put(url, {"name": "weather-key"}).json()["allowed_hosts"] == []
    assert value() == CANARY
    assert api.patch(url, {"value": CANARY + "2"}).status_code == 200
    assert value() == CANARY + "2"


def test_a_stale_change_is_refused(api: APIClient) -> None:
    url = made(api)
    etag = api.get(url).headers["ETag"]
    assert (
        api.patch(url, {"value": "other-value"}, HTTP_IF_MATCH=etag).status_code == 200
    )
    for call in (api.patch, api.put, api.delete):
        assert call(url, DOCUMENT, HTTP_IF_MATCH=etag).status_code == 412
    assert value() == "other-value"


def test_others_secrets_do_not_exist(
    api: APIClient, other_api: APIClient, staff_api: APIClient, anonymous: APIClient
) -> None:
    url = made(api)
    assert other_api.get(SECRETS).json()["results"] == []
    for call in (other_api.get, other_api.patch, other_api.put, other_api.delete):
        assert call(url).status_code == 404
    assert anonymous.get(url).status_code == 401
    assert staff_api.get(url).status_code == 200


def test_a_shared_secret_is_seen_and_not_changed(api: APIClient) -> None:
    secret = vault.save_secret(DOCUMENT)
    url = f"{SECRETS}{secret.pk}/"
    assert api.get(url).status_code == 200
    assert api.patch(url, {"value": "other-value"}).status_code == 403
    assert api.delete(url).status_code == 403
    assert value() == CANARY


def test_a_secret_in_use_is_neither_removed_nor_renamed(
    api: APIClient, user: User
) -> None:
    url = made(api)
    role = Role.objects.create(
        name="web", kind="http", config={"headers": {"X": {"$secret": "weather-key"}}}
    )
    for response in (api.delete(url), api.patch(url, {"name": "other"})):
        assert response.status_code == 409
        assert problem_of(response)["code"] == "secret_in_use"
        assert response.json()["users"] == [
            {"kind": "role", "id": str(role.pk), "name": "web"}
        ]
    role.delete()
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_a_change_of_a_role_asks_whose_the_secret_is(
    api: APIClient, other_api: APIClient
) -> None:
    made(api)
    role = {
        "name": "web",
        "kind": "http",
        "config": {
            "url": "https://api.example/",
            "headers": {"Authorization": {"$secret": "weather-key"}},
        },
    }
    refused = other_api.post("/api/v1/roles/", role)
    assert errors_of(refused) == {"/config/headers/Authorization": "unknown_secret"}
    plain = {**role, "config": {"url": "https://api.example/"}}
    url = other_api.post("/api/v1/roles/", plain).headers["Location"]
    for call in (other_api.patch, other_api.put):
        assert errors_of(call(url, role)) == {
            "/config/headers/Authorization": "unknown_secret"
        }
    mine = api.post("/api/v1/roles/", {**role, "name": "mine"})
    assert mine.status_code == 201
    assert mine.json()["config"] == role["config"]


def test_a_list_costs_the_same_however_long_it_is(
    api: APIClient, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        made(api, name=f"key-{number}")
    with django_assert_max_num_queries(3):
        names = [each["name"] for each in api.get(SECRETS).json()["results"]]
    assert names == [f"key-{number}" for number in range(5)]


def test_the_admin_takes_a_value_and_never_shows_it(admin: Client) -> None:
    form = {"name": "weather-key", "value": CANARY, "allowed_hosts": "a.example,b:80"}
    assert admin.post(f"{PAGES}add/", form).status_code == 302
    secret = Secret.objects.get()
    assert secret.allowed_hosts == ["a.example", "b:80"]
    assert secret.created_by is not None
    assert value() == CANARY
    page = f"{PAGES}{secret.pk}/change/"
    shown = admin.get(page).content.decode()
    assert 'type="password"' in shown
    assert CANARY not in shown
    assert secret.ciphertext not in shown
    assert (
        admin.post(page, {**form, "value": "", "description": "d"}).status_code == 302
    )
    assert value() == CANARY
    assert admin.post(page, {**form, "value": CANARY + "2"}).status_code == 302
    assert value() == CANARY + "2"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": ""}, None),
        ({"value": "short"}, "value"),
        ({"name": "A"}, "name"),
        ({"allowed_hosts": "https://x"}, "allowed_hosts"),
    ],
)
def test_the_admin_shows_a_refusal_at_its_field(
    admin: Client, changes: dict[str, str], field: str | None
) -> None:
    response = admin.post(f"{PAGES}add/", {**DOCUMENT, **changes})
    form = response.context["adminform"].form
    assert list(form.errors) == [field or "__all__"]
    assert not Secret.objects.exists()


def test_the_admin_does_not_delete_or_rename_what_is_named(admin: Client) -> None:
    secret = vault.save_secret(DOCUMENT)
    Role.objects.create(
        name="web", kind="http", config={"a": {"$secret": "weather-key"}}
    )
    page = f"{PAGES}{secret.pk}/"
    shown = admin.get(f"{page}delete/")
    assert "role: web" in shown.content.decode()
    admin.post(f"{page}delete/", {"post": "yes"})
    response = admin.post(f"{page}change/", {"name": "other"})
    assert "role &#x27;web&#x27;" in response.content.decode()
    assert Secret.objects.get().name == "weather-key"


def test_the_admin_of_roles_refuses_a_secret_that_is_not_there(admin: Client) -> None:
    form = {
        "name": "web",
        "kind": "http",
        "config": '{"url": "https://x.example/", "query": {"k": {"$secret": "no"}}}',
    }
    response = admin.post("/admin/roles/role/add/", form)
    errors = response.context["adminform"].form.errors
    assert errors == {"config": ["/query/k: There is no secret 'no'."]}
