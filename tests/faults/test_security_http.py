"""HTTP roles that are sent where they must not go, and what bad servers answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.system import logs_by_key, step
from tests.faults.evil import Evil, serving
from tests.faults.fleet import Fleet
from tests.faults.processes import IO

pytestmark = [pytest.mark.fault]

MEGABYTE = 1024 * 1024
PRIVATE = (
    "127.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1",
    "0.0.0.0",  # noqa: S104
    "0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "169.254.169.254",
    "10.0.0.1",
    "100.64.0.1",
    "127\u30020\u30020\u30021",
)
NAMES = ("localhost", "localhost.", "LOCALHOST")  # not known everywhere


@pytest.fixture(scope="module")
def friend() -> Iterator[Evil]:
    """Yield a server that the operator allows."""
    with serving() as evil:
        yield evil


@pytest.fixture(scope="module")
def victim() -> Iterator[Evil]:
    """Yield a server of the private network, which nobody allows."""
    with serving() as evil:
        yield evil


@pytest.fixture(scope="module", autouse=True)
def allowed(whole_fleet: Fleet, friend: Evil) -> Iterator[None]:
    hosts = f"{whole_fleet.sink.address},{friend.address}"
    whole_fleet.base[IO] = {"CORE_HTTP_ALLOWED_HOSTS": hosts}
    yield
    del whole_fleet.base[IO]


def test_no_spelling_of_a_private_address_is_called(fleet: Fleet, victim: Evil) -> None:
    # Given a role that calls what its input says
    urls = [f"http://{host}:{victim.port}/" for host in (*PRIVATE, *NAMES)]
    urls += [
        f"http://public.example@127.0.0.1:{victim.port}/",
        f"http://127.0.0.1:{victim.port}\\@public.example/",
        f"http:///127.0.0.1:{victim.port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        f"http://127.0.0.1\r\n:{victim.port}/",
        "http://" + "a" * 100_000,
        "",
    ]

    # When it is sent to the private network in every way
    errors = failures(fleet, urls)

    # Then each call is refused by name, and nobody was called
    assert set(errors.values()) <= {"address_refused", "bad_request", "http_connection"}
    for url in urls[: len(PRIVATE)]:
        assert errors[url] == "address_refused", url
    assert victim.hits == []


def test_no_redirect_leads_into_the_private_network(
    fleet: Fleet, friend: Evil, victim: Evil
) -> None:
    # Given an allowed server that sends its callers on
    targets = [
        *(f"http://{host}:{victim.port}/" for host in PRIVATE[:-1]),
        f"//127.0.0.1:{victim.port}/",
        "http://169.254.169.254/latest/meta-data/",
        f"http://user@127.0.0.1:{victim.port}/",
        "file:///etc/passwd",
        f"http://{friend.address}/redirect?to=http://127.1:{victim.port}/",
    ]
    urls = [
        f"http://{friend.address}/redirect?to={quote(target, safe='')}"
        for target in targets
    ]

    # When it is called, and when it sends them in a circle
    errors = failures(fleet, [*urls, f"http://{friend.address}/around"])

    # Then each call is refused where it would have led, and nobody was called
    assert errors.pop(f"http://{friend.address}/around") == "too_many_redirects"
    assert set(errors.values()) == {"address_refused"}
    assert victim.hits == []


def test_no_answer_takes_more_than_its_share_of_memory_and_time(
    fleet: Fleet, friend: Evil
) -> None:
    # Given answers without an end, and some that grow when they are unpacked
    wanted = {
        "endless": "response_too_large",
        "bomb": "response_too_large",
        "headers": "http_connection",
        "drip": "http_connection",
        "brackets": "bad_response",
    }
    before = peak_memory(fleet)

    # When several of each are asked for at once
    urls = [f"http://{friend.address}/{name}?{n}" for name in wanted for n in range(3)]
    errors = failures(fleet, urls, timeout_ms=3_000)

    # Then each fails for its own reason, and the worker has hardly grown
    for url, error in errors.items():
        name = url.rpartition("/")[2].partition("?")[0]
        assert error in (wanted[name], "http_connection"), url
    assert errors[urls[0]] == "response_too_large"
    assert peak_memory(fleet) - before < 150 * MEGABYTE


def failures(
    fleet: Fleet, urls: list[str], *, timeout_ms: int = 10_000
) -> dict[str, str]:
    """Call each URL as a step of one group; return the types of their errors."""
    name = f"http {timeout_ms} {len(urls)}"
    config: dict[str, Any] = {"url": "{{ input.url }}", "timeout_ms": timeout_ms}
    body = {"name": name, "kind": "http", "config": config}
    fleet.post("roles/", body, status=201)
    steps = [
        step(f"call {place}", name, input_mapping={"url": url}, on_error="continue")
        for place, url in enumerate(urls)
    ]
    grouped = [{**each, "parallel_group": "g"} for each in steps]
    ended = fleet.finished(fleet.execute(fleet.orchestration(*grouped)), seconds=60)
    assert ended["status"] == "completed"
    logs = logs_by_key(ended)
    assert [key for key, log in logs.items() if log["output"] is not None] == []
    return {
        url: logs[f"call_{place}"]["error"]["type"] for place, url in enumerate(urls)
    }


def peak_memory(fleet: Fleet) -> int:
    """Return the most bytes that the io worker ever had."""
    status = Path(f"/proc/{fleet.children[IO].pid}/status")
    with contextlib.suppress(FileNotFoundError):
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    pytest.skip("The system does not tell what a process's memory was.")
