"""MCP over HTTP, as the official client speaks it: who comes in, and what they find."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions import control
from executions.launch import launch
from executions.models import Execution
from roles import keys
from roles.models import AuditEntry, Role
from roles.toolkit import meta_tools
from roles.toolkit.threads import in_thread
from tests.integration.mcp_web import client_of, run, served

pytestmark = pytest.mark.django_db(transaction=True)
MakeRole = Callable[..., Role]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}


@pytest.fixture(autouse=True)
def _threads_keep_no_connection(settings: Any) -> None:
    settings.DB_POOL_SIZE = 1


@pytest.fixture
def web() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def token(user: User) -> str:
    return keys.issue(user, "plain")[1]


@pytest.fixture
def meta_token(user: User) -> str:
    return keys.issue(user, "meta", allows_meta=True)[1]


@pytest.fixture
def expose(user: User, make_role: MakeRole) -> Callable[..., Orchestration]:
    make_role("Shouter")

    def exposed(name: str = "Shout it", **fields: Any) -> Orchestration:
        by = fields.pop("by", user)
        step = {"name": "Shout", "role_name": "Shouter"}
        whole = {"name": name, "steps": [step], "expose_as_tool": True, **fields}
        return drafts.save(whole, by=by)

    return exposed


def called(
    web: str,
    token: str,
    tool: str,
    arguments: dict[str, Any] | None = None,
    *,
    wait_ms: Any = 0,
) -> Any:
    """Call a tool once, and return the result."""

    async def story() -> Any:
        async with client_of(web, token) as client:
            meta: Any = {"wait_ms": wait_ms}
            return await client.call_tool(tool, arguments or {}, meta=meta)

    return run(story)


def listed(web: str, token: str, **options: Any) -> Any:
    """List the first page of tools, by their names."""

    async def story() -> dict[str, Any]:
        async with client_of(web, token, **options) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    return run(story)


def refusal_of(result: Any) -> dict[str, Any]:
    """Return the error in a result, which both forms of it tell alike."""
    assert result.is_error
    assert json.loads(result.content[0].text) == result.structured_content
    error: dict[str, Any] = result.structured_content["error"]
    return error


def post(web: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{web}/mcp", json=body, headers={**ACCEPT, **headers})


# --- who comes in ---------------------------------------------------------------


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_without_a_key_nobody_comes_in(web: str, path: str, method: str) -> None:
    answer = httpx.request(method, web + path, headers=ACCEPT)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_authenticated"


def test_a_key_that_is_unknown_or_revoked_opens_nothing(web: str, user: User) -> None:
    key, revoked = keys.issue(user, "old")
    keys.revoke(key, timezone.now())
    for shown in (revoked, "core_00000000_" + "0" * 48, "nonsense", "é"):
        answer = post(web, INITIALIZE, Authorization=f"Bearer {shown}".encode())  # type: ignore[arg-type]
        assert answer.status_code == 401
        assert answer.json()["code"] == "authentication_failed"


def test_only_post_means_something(web: str, token: str) -> None:
    header = {**ACCEPT, "Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{web}/mcp", headers=header)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_other_hosts_and_origins_are_refused(web: str, token: str) -> None:
    key = f"Bearer {token}"
    host = post(web, INITIALIZE, Authorization=key, Host="evil.example")
    origin = post(web, INITIALIZE, Authorization=key, Origin="https://evil.example")
    ours = post(web, INITIALIZE, Authorization=key, Origin=web)
    assert (host.status_code, host.json()["code"]) == (421, "wrong_host")
    assert (origin.status_code, origin.json()["code"]) == (403, "wrong_origin")
    assert ours.status_code == 200


def test_a_body_that_is_too_large_is_not_read(
    web: str, token: str, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
    with served() as url:
        padded = {**INITIALIZE, "padding": "x" * 3_000}
        answer = post(url, padded, Authorization=f"Bearer {token}")
    assert answer.status_code == 413


def test_what_is_no_json_is_answered_by_the_protocol(web: str, token: str) -> None:
    headers = {
        **ACCEPT,
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
    }
    answer = httpx.post(f"{web}/mcp", content=b"{nonsense", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32700


def test_everything_else_is_still_djangos(web: str) -> None:
    assert httpx.get(f"{web}/healthz").status_code == 200
    assert httpx.get(f"{web}/api/v1/roles/").status_code == 401
    assert httpx.get(f"{web}/mcp/more").status_code == 404


def test_a_server_without_its_lifespan_says_so(token: str) -> None:
    from config.mcp.door import Door

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    headers = [
        (b"host", b"localhost"),
        (b"authorization", f"Bearer {token}".encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}
    asyncio.run(Door()(scope, receive, send))
    assert sent[0]["status"] == 503


# --- what they find -------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_clients_of_both_generations_are_served(
    web: str, token: str, mode: str, expose: Any
) -> None:
    expose()
    assert set(listed(web, token, mode=mode)) == {"shout_it", "get_execution"}


def test_a_key_that_allows_them_is_offered_the_meta_tools(
    web: str, meta_token: str
) -> None:
    assert set(listed(web, meta_token)) == set(meta_tools())
    assert meta_tools()


def test_any_other_key_is_offered_none(web: str, token: str) -> None:
    assert listed(web, token) == {}


def test_a_guessed_meta_tool_is_refused_and_noted(
    web: str, user: User, token: str
) -> None:
    name = next(iter(meta_tools()))
    refusal = refusal_of(called(web, token, name, {"name": "x"}))
    assert refusal["code"] == "tool_not_granted"
    entry = AuditEntry.objects.get(action="tool.call")
    assert (entry.outcome, entry.object_name) == ("refused", name)
    assert (entry.channel, entry.user) == ("mcp", user)
    assert str(entry.api_key_id) == str(keys.find(token).pk)  # type: ignore[union-attr]


def test_an_unknown_tool_is_a_tools_error(web: str, token: str) -> None:
    refusal = refusal_of(called(web, token, "nothing"))
    assert refusal["code"] == "tool_not_granted"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5_000])
def test_a_name_that_no_tool_has_hurts_nobody(web: str, token: str, name: str) -> None:
    assert refusal_of(called(web, token, name))["code"] in {
        "invalid_arguments",
        "tool_not_granted",
    }


def test_an_orchestration_is_a_tool_only_if_it_says_so(
    web: str, token: str, expose: Any
) -> None:
    expose("Loud", description="Makes it loud.", input_schema=SCHEMA)
    expose("Hidden", expose_as_tool=False)
    expose("Asleep", is_active=False)
    drafts.archive(expose("Gone"), timezone.now())
    tools = listed(web, token)
    assert set(tools) == {"loud", "get_execution"}
    assert tools["loud"].description == "Makes it loud."
    assert tools["loud"].input_schema == SCHEMA


def test_orchestrations_of_others_are_not_there(
    web: str, token: str, staff: User, expose: Any
) -> None:
    expose("Theirs", by=staff)
    assert listed(web, token) == {}
    assert refusal_of(called(web, token, "theirs"))["code"] == "tool_not_granted"


def test_two_callers_at_once_see_their_own_tools(
    web: str, token: str, other: User, make_role: MakeRole, expose: Any
) -> None:
    expose("Of ada")
    Role.objects.update(created_by=None)
    expose("Of bob", by=other)
    theirs = keys.issue(other, "bob")[1]

    async def story() -> Any:
        async with client_of(web, token) as ada, client_of(web, theirs) as bob:
            asked = [each.list_tools() for each in (ada, bob) * 5]
            return [
                {t.name for t in page.tools} for page in await asyncio.gather(*asked)
            ]

    wanted = [{"of_ada", "get_execution"}, {"of_bob", "get_execution"}] * 5
    assert run(story) == wanted


def test_names_that_read_alike_stay_apart(web: str, token: str, expose: Any) -> None:
    first, second = expose("Get it!"), expose("get it?")
    expose("Get execution")
    tools = set(listed(web, token))
    assert {"get_it", f"get_it_{second.pk.hex[-12:]}", "get_execution"} < tools
    assert len(tools) == 4
    full = f"get_it_{first.pk.hex[-12:]}"
    assert called(web, token, full).structured_content["status"] == "pending"


def test_many_tools_come_in_pages(
    web: str, token: str, expose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from config.mcp import server

    monkeypatch.setattr(server, "PAGE", 2)
    for number in range(4):
        expose(f"Number {number}")

    async def story() -> list[str]:
        names, cursor = [], None
        async with client_of(web, token) as client:
            while True:
                page = await client.list_tools(cursor=cursor)
                names += [tool.name for tool in page.tools]
                if not (cursor := page.next_cursor):
                    return names

    names = run(story)
    assert len(names) == len(set(names)) == 5


# --- what they do ---------------------------------------------------------------


def test_arguments_that_do_not_fit_are_named(web: str, token: str, expose: Any) -> None:
    expose(input_schema=SCHEMA)
    refusal = refusal_of(called(web, token, "shout_it", {"text": 5}))
    assert refusal["code"] == "invalid_arguments"
    assert [each["pointer"] for each in refusal["errors"]] == ["/text"]
    assert not Execution.objects.exists()


def test_arguments_that_cannot_be_kept_are_refused(
    web: str, token: str, expose: Any
) -> None:
    expose()
    refusal = refusal_of(called(web, token, "shout_it", {"text": "a\0b"}))
    assert refusal["code"] == "invalid_arguments"
    assert not Execution.objects.exists()


@pytest.mark.parametrize("wait_ms", ["long", True, [1]])
def test_a_wait_that_is_no_number_is_refused(
    web: str, token: str, expose: Any, wait_ms: Any
) -> None:
    expose()
    refusal = refusal_of(called(web, token, "shout_it", wait_ms=wait_ms))
    assert refusal["code"] == "invalid_arguments"


def test_a_long_run_returns_its_id_and_how_to_ask(
    web: str, user: User, token: str, expose: Any
) -> None:
    expose(input_schema=SCHEMA)
    result = called(web, token, "shout_it", {"text": "hey"}, wait_ms=50)
    report = result.structured_content
    execution = Execution.objects.get()
    assert not result.is_error
    assert (report["execution_id"], report["status"]) == (str(execution.pk), "pending")
    assert "get_execution" in report["next"]
    assert execution.created_by == user
    assert execution.input == {"text": "hey"}


def test_an_input_that_is_no_object_is_an_argument(
    web: str, token: str, expose: Any
) -> None:
    expose(input_schema={"type": "array", "items": {"type": "string"}})
    schema = listed(web, token)["shout_it"].input_schema
    assert schema["required"] == ["input"]
    assert refusal_of(called(web, token, "shout_it", {"text": 1}))
    wrong = refusal_of(called(web, token, "shout_it", {"input": [1]}))
    assert wrong["errors"][0]["pointer"] == "/input/0"
    called(web, token, "shout_it", {"input": ["a"]})
    assert Execution.objects.get().input == ["a"]


def test_who_waits_is_told_of_the_end(web: str, token: str, expose: Any) -> None:
    expose()

    async def story() -> Any:
        async with client_of(web, token) as client:
            meta: Any = {"wait_ms": 25_000}
            call = client.call_tool("shout_it", {}, meta=meta)
            waiting = asyncio.create_task(call)
            while not (ids := await in_thread(_ids)):
                await asyncio.sleep(0.01)
            await in_thread(control.cancel, ids[0], by="ada")
            return await waiting

    result = run(story)
    assert result.is_error  # it came to an end, and not to that which was asked for
    assert result.structured_content["status"] == "cancelled"


def test_what_has_ended_is_reported_and_no_error(
    web: str, token: str, expose: Any
) -> None:
    expose()
    report = called(web, token, "shout_it").structured_content
    control.cancel(UUID(report["execution_id"]), by="ada")
    asked = {"execution_id": report["execution_id"], "wait_ms": 20_000}
    result = called(web, token, "get_execution", asked)
    assert not result.is_error
    assert result.structured_content["status"] == "cancelled"
    assert "next" not in result.structured_content


def test_executions_of_others_cannot_be_asked_after(
    web: str, token: str, other: User, expose: Any
) -> None:
    mine = expose()
    Role.objects.update(created_by=None)
    Orchestration.objects.update(created_by=None)
    theirs = launch(mine, {}, by=other)
    for execution_id in (theirs.pk, uuid4()):
        asked = {"execution_id": str(execution_id), "wait_ms": 5_000}
        refusal = refusal_of(called(web, token, "get_execution", asked))
        assert refusal["code"] == "not_found"


@pytest.mark.parametrize(
    "asked", [{}, {"execution_id": "x"}, {"execution_id": str(uuid4()), "wait_ms": -1}]
)
def test_a_wrong_question_is_refused(
    web: str, token: str, expose: Any, asked: dict[str, Any]
) -> None:
    expose()
    refusal = refusal_of(called(web, token, "get_execution", asked))
    assert refusal["code"] == "invalid_arguments"


def test_a_key_that_is_revoked_meanwhile_opens_nothing_more(
    web: str, user: User
) -> None:
    key, shown = keys.issue(user, "short-lived")

    async def story() -> None:
        async with client_of(web, shown) as client:
            await client.list_tools()
            await in_thread(keys.revoke, key, timezone.now())
            with pytest.raises(Exception, match=r"."):
                await client.list_tools(cache_mode="refresh")

    run(story)


def _ids() -> list[Any]:
    return list(Execution.objects.values_list("pk", flat=True))
