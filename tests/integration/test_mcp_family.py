"""`mcp:<server>` among a role's tools: granted, called, and held to what is allowed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from roles.acting import Actor
from roles.models import AuditEntry, McpServer
from roles.secrets import vault
from roles.servers import family, sessions
from roles.servers.saving import save_server
from roles.toolkit import Caller, Tool, ToolRefused, grant_problems, granted, invoke
from roles.toolkit.threads import in_thread
from tests.integration.mcp_web import served
from tests.unit.roles import outside_server
from tests.unit.roles.test_servers_sessions import SCRIPT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _afresh(settings: Any) -> None:
    settings.DB_POOL_SIZE = 1  # threads keep no connection
    settings.CORE_HTTP_ALLOWED_HOSTS = ["127.0.0.1"]
    family._remembered.clear()
    vault.forget()


@pytest.fixture(params=["stateless", "sessions", "json"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    app = outside_server.made().streamable_http_app(
        stateless_http=request.param == "stateless",
        json_response=request.param == "json",
    )
    with served(app) as at:
        yield f"{at}/mcp"


@pytest.fixture
def only_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server know nothing of the newer protocol."""
    refusing = outside_server.made()
    del refusing._request_handlers["server/discover"]
    monkeypatch.setattr(outside_server, "made", lambda: refusing)


def commanded(**fields: Any) -> McpServer:
    command = [sys.executable, str(SCRIPT)]
    return save_server(
        {"name": "files", "command": command, "allowed_tools": ["*"], **fields}
    )


def caller(user: User | None) -> Caller:
    return Caller(actor=Actor(channel="agent"), user_id=user.pk if user else None)


def box(user: User | None, name: str = "files") -> dict[str, Tool]:
    return asyncio.run(granted([f"mcp:{name}"], caller(user)))


def call(user: User, tool: str, arguments: Any = None, name: str = "files") -> Any:
    async def story() -> Any:
        mine = await granted([f"mcp:{name}"], caller(user))
        return await invoke(tool, arguments or {}, caller(user), box=mine)

    return asyncio.run(story())


def refusal_of(user: User, tool: str, arguments: Any = None) -> ToolRefused:
    with pytest.raises(ToolRefused) as caught:
        call(user, tool, arguments)
    return caught.value


def test_tools_of_a_command_are_called(user: User) -> None:
    commanded(approved_tools=["sleep"])
    McpServer.objects.update(created_by=user)
    tools = box(user)
    shout = tools["mcp:files/shout"]
    assert (shout.grant, shout.needs_approval) == ("mcp:files", False)
    assert tools["mcp:files/sleep"].needs_approval
    assert call(user, "mcp_files_shout", {"text": "hey"}) == "HEY"


def test_tools_at_a_url_are_called_with_its_secrets(user: User, url: str) -> None:
    vault.save_secret({"name": "token", "value": "s3cr3t-value"}, by=user)
    reference = {"$secret": "token", "prefix": "Bearer "}
    document = {
        "name": "files",
        "url": url,
        "headers": {"Authorization": reference},
        "allowed_tools": ["*"],
    }
    save_server(document, by=user)
    assert call(user, "mcp:files/shout", {"text": "hey"}) == "HEY"
    assert call(user, "mcp:files/header") == "Bearer [secret:token]"
    assert refusal_of(user, "mcp:files/large").code == "too_large"


@pytest.mark.usefixtures("only_older")
def test_a_server_of_the_older_protocol_is_asked_once_for_the_newer(
    user: User, url: str
) -> None:
    save_server({"name": "files", "url": url, "allowed_tools": ["*"]}, by=user)
    sessions._older.clear()
    for _ in range(2):
        assert call(user, "mcp:files/shout", {"text": "hey"}) == "HEY"
        assert len(sessions._older) == 1


def test_a_secret_for_other_hosts_is_not_sent(user: User, url: str) -> None:
    fields = {"name": "token", "value": "s3cr3t-value", "allowed_hosts": ["a.example"]}
    vault.save_secret(fields, by=user)
    headers = {"Authorization": {"$secret": "token"}}
    save_server({"name": "files", "url": url, "headers": headers}, by=user)
    assert refusal_of(user, "mcp:files/shout").code == "secret_not_for_host"


def test_only_what_is_on_the_list_is_offered(user: User) -> None:
    commanded(allowed_tools=["shout", "missing"])
    assert set(box(user)) == {"mcp:files/shout"}
    refusal = refusal_of(user, "mcp:files/environment")
    assert refusal.code == "tool_not_granted"
    entry = AuditEntry.objects.get(action="tool.call")
    assert (entry.outcome, entry.object_name) == ("refused", "mcp:files/environment")


def test_without_a_list_nothing_is_offered(user: User) -> None:
    commanded(allowed_tools=[])
    assert box(user) == {}


def test_what_was_taken_back_is_not_called_any_more(user: User) -> None:
    commanded()

    async def story() -> None:
        mine = await granted(["mcp:files"], caller(user))
        await in_thread(McpServer.objects.update, allowed_tools=["count"])
        with pytest.raises(ToolRefused, match="not allowed any more"):
            await invoke("mcp:files/shout", {}, caller(user), box=mine)
        await in_thread(McpServer.objects.update, is_active=False)
        with pytest.raises(ToolRefused, match="switched off"):
            await invoke("mcp:files/count", {}, caller(user), box=mine)

    asyncio.run(story())


def test_a_server_of_somebody_else_does_not_exist(user: User, other: User) -> None:
    commanded()
    McpServer.objects.update(created_by=other)
    with pytest.raises(ToolRefused) as caught:
        box(user)
    assert caught.value.code == "unknown_tool"
    assert box(None)


def test_a_server_is_asked_for_its_tools_once_a_minute(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    commanded()
    assert "mcp:files/shout" in box(user)
    McpServer.objects.update(command=["no-such-program"])
    assert "mcp:files/shout" in box(user)
    monkeypatch.setattr(family, "REMEMBERED_S", 0.0)
    with pytest.raises(ToolRefused, match="cannot be started"):
        box(user)


def test_a_change_of_a_server_is_seen_at_once(user: User) -> None:
    server = commanded()
    assert box(user)
    document = {"name": "files", "command": ["no-such-program"]}
    save_server(document, server=server)
    with pytest.raises(ToolRefused, match="cannot be started"):
        box(user)


def test_no_model_is_offered_more_tools_than_it_takes(user: User) -> None:
    commanded(command=[sys.executable, str(SCRIPT), "greedy"])
    assert len(box(user)) == family.MOST_OFFERED


def test_a_server_that_is_down_refuses_in_words(user: User) -> None:
    save_server({"name": "files", "url": "http://127.0.0.1:9/mcp"})
    with pytest.raises(ToolRefused) as caught:
        box(user)
    assert caught.value.code == "mcp_server_failed"
    assert "'files'" in caught.value.detail


def test_a_grant_names_a_server_that_exists() -> None:
    commanded()
    assert grant_problems(["mcp:files"]) == []
    (missing,) = grant_problems(["mcp:fils"])
    assert "Did you mean 'files'?" in missing.detail
    (wrong,) = grant_problems(["mcp:a/b"])
    assert "no name" in wrong.detail
