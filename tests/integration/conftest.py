"""People who ask the API, and the clients that they ask with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from executions import recovery
from roles import keys
from roles.models import Role


def client_of(person: User) -> APIClient:
    """Return a client that shows a key of this person."""
    _, token = keys.issue(person, "test")
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture(autouse=True)
def database_long_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test meet the beat that workers get after the server's start."""
    monkeypatch.setattr(recovery, "AFTER_OUTAGE", -timedelta(hours=1))


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def other(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("eve", is_staff=True)


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


@pytest.fixture
def other_api(other: User) -> APIClient:
    return client_of(other)


@pytest.fixture
def staff_api(staff: User) -> APIClient:
    return client_of(staff)


@pytest.fixture
def anonymous(db: None) -> APIClient:
    return APIClient(raise_request_exception=False)


@pytest.fixture
def make_role(user: User) -> Callable[..., Role]:
    """Make roles of ada's; only the name is needed."""

    def make(name: str = "Shouter", **fields: Any) -> Role:
        given = {
            "kind": "function",
            "config": {"function": "text.upper"},
            "created_by": user,
            **fields,
        }
        return Role.objects.create(name=name, **given)

    return make
