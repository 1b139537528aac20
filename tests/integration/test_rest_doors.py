"""Who gets in, and what they get to see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from roles import keys
from roles.models import ApiKey, Role
from tests.integration.answers import problem_of

ROLES = "/api/v1/roles/"
MakeRole = Callable[..., Role]


def addresses(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield re.sub(r"<\w+:\w+>", str(uuid4()), route)


API_ADDRESSES = [
    address for address in addresses(get_resolver()) if address.startswith("/api/")
]


def test_the_api_has_the_addresses_of_the_contract() -> None:
    found = {
        re.sub(r"[0-9a-f-]{36}", "{id}", each).removeprefix("/api/v1/")
        for each in API_ADDRESSES
    }
    assert found >= {
        "roles/",
        "roles/{id}/",
        "orchestrations/",
        "orchestrations/{id}/",
        "orchestrations/validate/",
        "orchestrations/{id}/execute/",
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
        "schema/",
        "docs/",
    }


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
@pytest.mark.parametrize("address", API_ADDRESSES)
def test_nobody_gets_in_without_a_key(
    anonymous: APIClient, address: str, method: str
) -> None:
    response = getattr(anonymous, method)(address)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    if not address.endswith("docs/"):
        assert problem_of(response)["code"] == "not_authenticated"


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", '{"a": {"b": [1]}}', "{"])
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
)
def test_no_request_is_a_fault_of_ours(
    staff_api: APIClient, method: str, body: str
) -> None:
    for address in API_ADDRESSES:
        response = staff_api.generic(
            method, address, body, content_type="application/json"
        )
        assert response.status_code < 500, f"{method} {address} {body}"


def test_a_host_that_is_not_ours_is_a_problem(api: APIClient) -> None:
    response = api.get(ROLES, HTTP_HOST="evil.example")
    assert response.status_code == 400
    assert problem_of(response)["code"] == "bad_request"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer core_00000000_" + 48 * "0",
        "Bearer ",
        "Bearer",
        "bearer nonsense",
        "Bearer core_\u00e9",
        "Bearer a b c",
    ],
)
def test_a_key_that_is_none_is_refused(anonymous: APIClient, header: str) -> None:
    response = anonymous.get(ROLES, HTTP_AUTHORIZATION=header)
    assert response.status_code == 401
    assert problem_of(response)["code"] == "authentication_failed"


def test_a_revoked_key_is_refused(anonymous: APIClient, user: User) -> None:
    key, token = keys.issue(user, "laptop")
    _, second = keys.issue(user, "phone")
    assert keys.revoke(key, timezone.now())
    assert not keys.revoke(key, timezone.now())
    header = {"Authorization": f"Bearer {token}"}
    assert anonymous.get(ROLES, headers=header).status_code == 401
    header = {"Authorization": f"Bearer {second}"}
    assert anonymous.get(ROLES, headers=header).status_code == 200


def test_a_key_of_an_inactive_user_is_refused(api: APIClient, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert api.get(ROLES).status_code == 401


def test_a_key_is_kept_as_a_digest_only(user: User) -> None:
    key, token = keys.issue(user, "laptop")
    secret = token.rpartition("_")[2]
    kept = ApiKey.objects.filter(pk=key.pk).values().get()
    assert all(secret not in str(value) for value in kept.values())
    assert token.startswith(f"core_{kept['prefix']}_")


def test_the_use_of_a_key_is_noted_once_a_minute(user: User) -> None:
    key, _ = keys.issue(user, "laptop")
    now = timezone.now()
    for later in (0, 30, 59, 61):
        keys.note_use(key, now + timedelta(seconds=later))
        key.refresh_from_db()
        assert key.last_used_at == now + timedelta(seconds=61 if later == 61 else 0)


def test_a_session_is_as_good_as_a_key_but_needs_its_token(user: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.get(ROLES).status_code == 200
    refused = client.post(ROLES, {})
    assert refused.status_code == 403
    assert problem_of(refused)["code"] == "permission_denied"


def test_objects_of_others_do_not_exist(
    other_api: APIClient, make_role: MakeRole
) -> None:
    url = f"{ROLES}{make_role().pk}/"
    assert other_api.get(ROLES).json()["results"] == []
    for method in ("get", "put", "patch", "delete"):
        response: Any = getattr(other_api, method)(url)
        assert response.status_code == 404
        problem_of(response)
    assert Role.objects.exists()


def test_what_is_shared_is_read_and_not_written(
    api: APIClient, staff_api: APIClient, make_role: MakeRole
) -> None:
    url = f"{ROLES}{make_role(created_by=None).pk}/"
    assert api.get(url).status_code == 200
    for method in ("put", "patch", "delete"):
        response: Any = getattr(api, method)(url)
        assert response.status_code == 403
        problem_of(response)
    assert staff_api.delete(url).status_code == 204


@pytest.mark.parametrize(
    "address", ["/api/", "/api/v1/", "/api/v2/roles/", ROLES + "7/", "/api/v1/roles"]
)
def test_an_address_that_leads_nowhere_is_a_problem(
    api: APIClient, address: str
) -> None:
    for method in ("get", "post", "delete"):
        response: Any = getattr(api, method)(address)
        assert response.status_code == 404
        assert problem_of(response)["code"] == "not_found"


def test_a_method_that_is_not_there_is_a_problem(api: APIClient) -> None:
    response = api.delete(ROLES)
    assert response.status_code == 405
    assert problem_of(response)["code"] == "method_not_allowed"


def test_the_command_prints_a_key_that_works(
    anonymous: APIClient, user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_api_key", user.username, name="cron")
    token = capsys.readouterr().out.strip()
    header = {"Authorization": f"Bearer {token}"}
    assert anonymous.get(ROLES, headers=header).status_code == 200
    assert ApiKey.objects.get().name == "cron"


def test_the_command_knows_its_users(db: None) -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("create_api_key", "nobody")
