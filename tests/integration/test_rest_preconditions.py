"""Lost updates are refused: ETag, If-Match, and the lock behind them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from roles.models import Role
from tests.integration.answers import problem_of
from tests.integration.conftest import client_of

MakeRole = Callable[..., Role]


@pytest.fixture
def url(make_role: MakeRole) -> str:
    return f"/api/v1/roles/{make_role().pk}/"


def test_a_change_with_the_current_tag_is_made(api: APIClient, url: str) -> None:
    tag = api.get(url).headers["ETag"]
    changed = api.patch(url, {"description": "a"}, HTTP_IF_MATCH=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] not in ("", tag)
    tags = f'"other", W/{changed.headers["ETag"]}'
    assert api.patch(url, {"description": "b"}, HTTP_IF_MATCH=tags).status_code == 200
    assert api.patch(url, {"description": "c"}, HTTP_IF_MATCH="*").status_code == 200
    assert api.patch(url, {"description": "d"}).status_code == 200


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_change_of_a_stale_object_is_refused(
    api: APIClient, url: str, method: str
) -> None:
    stale = api.get(url).headers["ETag"]
    api.patch(url, {"description": "newer"})
    current = api.get(url)
    response = getattr(api, method)(url, current.json(), HTTP_IF_MATCH=stale)
    assert response.status_code == 412
    assert problem_of(response)["code"] == "precondition_failed"
    assert response.headers["ETag"] == current.headers["ETag"]
    assert api.get(url).json() == current.json()


def test_a_tag_that_is_none_matches_nothing(api: APIClient, url: str) -> None:
    for tag in ("", "nonsense", '""'):
        assert api.patch(url, {}, HTTP_IF_MATCH=tag).status_code == 412


@pytest.mark.django_db(transaction=True)
def test_of_many_changes_of_one_state_one_is_made(
    api: APIClient, url: str, user: User
) -> None:
    tag = api.get(url).headers["ETag"]
    clients = [client_of(user) for _ in range(8)]

    def change(number: int) -> int:
        try:
            body = {"description": f"change {number}"}
            return int(clients[number].patch(url, body, HTTP_IF_MATCH=tag).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(change, range(8)))
    assert answers == [200] + 7 * [412]


@pytest.mark.django_db(transaction=True)
def test_of_many_new_roles_of_one_name_one_is_made(user: User) -> None:
    clients = [client_of(user) for _ in range(8)]
    body = {
        "name": "Shouter",
        "kind": "function",
        "config": {"function": "text.upper"},
    }

    def make(client: APIClient) -> int:
        try:
            return int(client.post("/api/v1/roles/", body).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(make, clients))
    assert answers == [201] + 7 * [400]
    assert Role.objects.count() == 1
