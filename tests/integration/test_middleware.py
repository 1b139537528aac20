"""Requests pass Django's middleware in the event loop, and lose nothing by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as project
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import AsyncClient, Client
from django.utils.module_loading import import_string

from config.middleware import InPlace

pytestmark = pytest.mark.django_db(transaction=True)
LOGIN = "/admin/login/"


def run(story: Any) -> Any:
    """Run a story in a loop of its own, and close what its thread holds open."""

    async def closing() -> Any:
        try:
            return await story
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(closing())


def test_all_but_the_static_files_run_in_place() -> None:
    ours = [name for name in project.MIDDLEWARE if "servestatic" not in name]
    assert all(issubclass(import_string(name), InPlace) for name in ours)


def test_an_answer_has_the_headers_that_protect_it() -> None:
    answer = run(AsyncClient().get(LOGIN))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "csrftoken" in answer.cookies


@pytest.mark.parametrize("make", [AsyncClient, Client])
def test_a_form_without_its_token_is_refused(make: Any) -> None:
    client = make(enforce_csrf_checks=True)
    form = {"username": "ada", "password": "x"}
    answer = client.post(LOGIN, form)
    if make is AsyncClient:
        answer = run(answer)
    assert answer.status_code == 403


def test_a_form_with_its_token_logs_in_and_leaves_a_session(
    admin_user: User,
) -> None:
    async def story() -> tuple[Any, Any]:
        client = AsyncClient(enforce_csrf_checks=True)
        token = (await client.get(LOGIN)).cookies["csrftoken"].value
        form = {"username": admin_user.username, "password": "password"}
        form |= {"csrfmiddlewaretoken": token, "next": "/admin/"}
        return await client.post(LOGIN, form), await client.get("/admin/")

    answer, page = run(story())
    assert answer.status_code == 302
    assert Session.objects.filter(pk=answer.cookies["sessionid"].value).exists()
    assert page.status_code == 200
    assert "Cookie" in page.headers["Vary"]


def test_a_message_reaches_the_next_page(
    admin_user: User,
) -> None:
    name = "newcomer"
    form = {"username": name, "usable_password": "false"}
    form |= {"password1": "", "password2": ""}

    async def story() -> Any:
        client = AsyncClient()
        await client.aforce_login(admin_user)
        added = await client.post("/admin/auth/user/add/", form)
        assert added.status_code == 302, added.content
        return await client.get(added.headers["Location"])

    page = run(story()).content.decode()
    assert name in page
    assert 'class="success"' in page
