"""MCP in front of a real fleet: an orchestration is called, and its result comes back."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from roles.toolkit import meta_tools
from tests.acceptance.system import System, step
from tests.integration.mcp_web import client_of, run
from tests.unit.roles.test_servers_sessions import SCRIPT

pytestmark = pytest.mark.acceptance


def called(system: System, tool: str, arguments: Any, **meta: Any) -> Any:
    url = f"http://127.0.0.1:{system.port}"
    token = system.client.headers["Authorization"].removeprefix("Bearer ")

    async def story() -> Any:
        async with client_of(url, token) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names > set(meta_tools())
            given: Any = meta
            return await client.call_tool(tool, arguments, meta=given)

    return run(story)


def exposed(system: System, function: str, **fields: Any) -> str:
    """Make an orchestration of one step that is a tool, and return the tool's name."""
    role = system.role(function)
    made = system.orchestration(step("Do it", role), expose_as_tool=True, **fields)
    return str(made["name"]).lower().replace(" ", "_")


def test_a_call_waits_for_the_result(system: System) -> None:
    tool = exposed(system, "util.identity", output="{{ context.do_it }}")
    result = called(system, tool, {"text": "hey"})
    report = result.structured_content
    assert not result.is_error
    assert (report["status"], report["output"]) == ("completed", {"text": "hey"})
    assert system.execution(report["execution_id"])["input"] == {"text": "hey"}


def test_a_run_that_fails_is_an_error_with_its_cause(system: System) -> None:
    result = called(system, exposed(system, "text.upper"), {"number": 5})
    assert result.is_error
    assert result.structured_content["status"] == "failed"
    assert result.structured_content["error"]["step_key"] == "do_it"


def test_a_long_run_is_asked_after(system: System) -> None:
    tool = exposed(system, "util.identity")
    first = called(system, tool, {"n": 1}, wait_ms=0).structured_content
    asked = {"execution_id": first["execution_id"], "wait_ms": 20_000}
    assert "next" in first
    report = called(system, "get_execution", asked).structured_content
    assert report["status"] == "completed"


def test_an_outside_server_is_checked_by_the_web_process(system: System) -> None:
    command = [sys.executable, str(SCRIPT)]
    made = system.post(
        "mcp-servers/", {"name": "outside", "command": command}, status=201
    )
    found = system.post(f"mcp-servers/{made['id']}/check/", None, status=200)
    assert "shout" in {tool["name"] for tool in found["tools"]}
