"""Outside MCP servers, good and bad ones: what reaches us, and what they cost."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from roles.runners.addresses import parse_allowed
from roles.runners.secret_text import SecretText
from roles.secrets.redaction import Redactor
from roles.servers.calling import called
from roles.servers.endpoints import Endpoint, ServerFault
from roles.servers.listing import MAX_TOOLS, listed

SCRIPT = Path(__file__).with_name("outside_server.py")


def server(kind: str = "good", **fields: Any) -> Endpoint:
    given: dict[str, Any] = {
        "name": "outside",
        "url": "",
        "command": (sys.executable, str(SCRIPT), kind),
        "headers": {},
        "environment": {},
        "timeout_s": 15.0,
        "allowed_hosts": parse_allowed([]),
    }
    return Endpoint(**given | fields)


def run(story: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(story)


def call(tool: str, arguments: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    return run(called(server(**fields), tool, arguments or {}))


def fault_of(story: Coroutine[Any, Any, Any]) -> ServerFault:
    with pytest.raises(ServerFault) as caught:
        run(story)
    return caught.value


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_the_tools_of_a_server_are_listed() -> None:
    listing = run(listed(server()))
    tools = {tool.name: tool for tool in listing.tools}
    assert listing.is_complete
    assert tools["shout"].description == "Makes it loud."
    assert tools["shout"].schema["properties"] == {"text": {"type": "string"}}
    assert len(tools["sleep"].description) == 2_000


def test_a_tool_is_called() -> None:
    assert call("shout", {"text": "hey"}) == "HEY"


def test_structured_content_comes_as_it_is_whatever_its_schema_claims() -> None:
    assert call("count", {"a": 1, "b": 2}) == {"n": 2}


def test_a_command_gets_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CORE_SECRET_KEY", "not for you")
    found = call("environment", environment={"TOKEN": "for you"})
    assert found["TOKEN"] == "for you"
    assert set(found) <= {"PATH", "HOME", "LANG", "TOKEN", "LC_CTYPE"}


def test_what_a_tool_says_went_wrong_is_shortened() -> None:
    failure = fault_of(called(server(), "fail", {}))
    assert failure.code == "mcp_tool_failed"
    assert failure.detail.startswith("No! ")
    assert len(failure.detail) == 1_000


def test_an_error_of_the_protocol_is_passed_on() -> None:
    failure = fault_of(called(server(), "refuse", {}))
    assert "Not today." in failure.detail


def test_a_result_that_is_too_large_is_refused() -> None:
    assert fault_of(called(server(), "large", {})).code == "too_large"


def test_a_tool_that_hangs_ends_at_the_time_limit() -> None:
    before, began = children(), time.monotonic()
    failure = fault_of(called(server(timeout_s=3), "sleep", {}))
    assert failure.code == "mcp_server_timeout"
    assert time.monotonic() - began < 8
    assert children() <= before


@pytest.mark.parametrize("kind", ["endless", "chatty"])
def test_a_flood_is_cut_off(kind: str) -> None:
    before = children()
    assert fault_of(listed(server(kind))).code == "too_large"
    assert children() <= before


@pytest.mark.parametrize("kind", ["silent", "nonsense"])
def test_a_server_that_never_answers_is_killed(kind: str) -> None:
    before = children()
    assert fault_of(listed(server(kind, timeout_s=1))).code == "mcp_server_timeout"
    assert children() <= before


def test_a_command_that_ends_at_once_is_a_fault() -> None:
    failure = fault_of(listed(server(command=("true",))))
    assert failure.code == "mcp_server_failed"


@pytest.mark.parametrize("command", [("no-such-program",), ("/",), ("a\0b",)])
def test_a_command_that_cannot_be_started_is_a_fault(command: tuple[str, ...]) -> None:
    failure = fault_of(listed(server(command=command)))
    assert failure.code == "mcp_server_unreachable"


def test_of_endless_pages_so_many_are_read() -> None:
    listing = run(listed(server("greedy")))
    names = [tool.name for tool in listing.tools]
    assert not listing.is_complete
    assert 300 < len(names) <= MAX_TOOLS
    assert len(names) == len(set(names))
    assert not {"", "bad\n", "vast"} & set(names)


def test_ten_at_once_do_not_disturb_each_other() -> None:
    async def story() -> list[Any]:
        texts = [f"text {number}" for number in range(10)]
        calls = [called(server(timeout_s=60), "shout", {"text": t}) for t in texts]
        return await asyncio.gather(*calls)

    assert run(story()) == [f"TEXT {number}" for number in range(10)]


@pytest.mark.parametrize(
    "new_loop",
    [asyncio.new_event_loop, uvloop.new_event_loop],
    ids=["asyncio", "uvloop"],
)
def test_a_loop_in_another_thread_will_do(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    def story() -> Any:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(called(server(), "shout", {"text": "hey"}))

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(story).result() == "HEY"


def test_a_secret_that_a_server_gives_back_is_taken_out() -> None:
    secret = SecretText("s3cr3t-value", name="token")
    found = call(
        "environment",
        environment={"TOKEN": secret},
        redactor=Redactor({"token": secret}),
    )
    assert found["TOKEN"] == "[secret:token]"


def test_a_call_that_is_cancelled_leaves_no_process() -> None:
    before = children()

    async def story() -> None:
        task = asyncio.create_task(called(server(), "sleep", {}))
        while children() <= before:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
    assert children() <= before


def test_no_address_that_is_private_is_dialled() -> None:
    for url in ("http://127.0.0.1:9/mcp", "http://[::1]:9/mcp", "http://localhost:9/"):
        failure = fault_of(listed(server(url=url, command=())))
        assert failure.code == "address_refused"


def test_a_url_where_nobody_listens_is_a_fault() -> None:
    allowed = parse_allowed(["127.0.0.1"])
    nowhere = server(url="http://127.0.0.1:9/mcp", command=(), allowed_hosts=allowed)
    failure = fault_of(listed(nowhere))
    assert failure.code == "mcp_server_failed"
