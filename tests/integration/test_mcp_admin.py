"""What of MCP is set in the admin: servers, keys, and which orchestrations are tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions.management.commands import bootstrap
from roles import keys
from roles.models import ApiKey, McpServer, Role
from roles.servers.saving import save_server
from tests.integration.answers import errors_of
from tests.integration.pages import PAGES, page, stored

pytestmark = pytest.mark.django_db
ADD = "/admin/roles/mcpserver/add/"


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def form(**fields: Any) -> dict[str, Any]:
    empty = {"name": "files", "description": "", "url": "", "timeout_ms": "30000"}
    lists = {"command": "", "headers": "", "environment": ""}
    return {**empty, **lists, "is_active": "on", "allowed_tools": "*", **fields}


def errors(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200
    found: dict[str, Any] = answer.context["adminform"].form.errors
    return found


def test_a_server_is_registered(admin: Client) -> None:
    headers = {"Authorization": "x"}
    fields = form(url="https://files.example/mcp", headers=json.dumps(headers))
    assert admin.post(ADD, fields).status_code == 302
    server = McpServer.objects.get()
    assert (server.headers, server.allowed_tools) == (headers, ["*"])
    assert server.created_by == User.objects.get()


def test_what_is_wrong_stands_at_its_field(admin: Client) -> None:
    assert set(errors(admin.post(ADD, form(url="ftp://x")))) == {"url"}
    assert "__all__" in errors(admin.post(ADD, form()))
    assert not McpServer.objects.exists()


def test_a_server_in_use_is_neither_renamed_nor_deleted(admin: Client) -> None:
    url = "https://files.example/mcp"
    server = save_server({"name": "files", "url": url})
    Role.objects.create(name="Clerk", kind="agent", tools=["mcp:files"])
    at = f"/admin/roles/mcpserver/{server.pk}"
    answer = admin.post(f"{at}/change/", form(name="other", url=url))
    assert "Clerk" in str(errors(answer)["name"])
    answer = admin.post(f"{at}/delete/", {"post": "yes"})
    assert "role: Clerk" in answer.content.decode()
    assert McpServer.objects.exists()


def test_a_key_may_be_offered_the_meta_tools(admin: Client) -> None:
    user = User.objects.get()
    fields = {"user": user.pk, "name": "laptop", "allows_meta": "on"}
    assert admin.post("/admin/roles/apikey/add/", fields).status_code == 302
    assert ApiKey.objects.get().allows_meta
    key, _ = keys.issue(user, "plain")
    assert not key.allows_meta
    assert admin.get("/admin/roles/apikey/").status_code == 200


def test_the_key_of_a_first_start_is_offered_them(db: None, tmp_path: Path) -> None:
    login = bootstrap.ensure_login(tmp_path / "credentials")
    key = ApiKey.objects.get()
    assert key.allows_meta
    ApiKey.objects.update(allows_meta=False)  # one that was made before there were any
    assert bootstrap.ensure_login(tmp_path / "credentials") == login
    key.refresh_from_db()
    assert key.allows_meta


def test_an_orchestration_becomes_a_tool(admin: Client) -> None:
    Role.objects.create(
        name="Clerk", kind="function", config={"function": "text.upper"}
    )
    steps = [{"name": "Do it", "role_name": "Clerk"}]
    made = drafts.save({"name": "Work", "steps": steps})
    fields = page(*stored(made), name="Work", expose_as_tool="on")
    assert admin.post(f"{PAGES}{made.pk}/change/", fields).status_code == 302
    assert Orchestration.objects.get().expose_as_tool


def test_it_is_a_plain_field_of_the_document(api: Any) -> None:
    Role.objects.create(
        name="Clerk", kind="function", config={"function": "text.upper"}
    )
    body = {"name": "Work", "steps": [{"name": "Do it", "role_name": "Clerk"}]}
    made = api.post("/api/v1/orchestrations/", body)
    assert made.json()["expose_as_tool"] is False
    path = made.headers["Location"]
    assert api.patch(path, {"expose_as_tool": True}).json()["expose_as_tool"] is True
    assert api.patch(path, {"description": "x"}).json()["expose_as_tool"] is True
    assert errors_of(api.patch(path, {"expose_as_tool": 1})) == {
        "/expose_as_tool": "wrong_type"
    }
