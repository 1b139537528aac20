"""Secrets that must be in no log, no table, no message and no answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.acceptance.system import step, until
from tests.faults.evil import Evil, serving
from tests.faults.fleet import NAMES, Fleet
from tests.faults.hiding_places import found
from tests.faults.processes import CPU, CPU_2, IO

pytestmark = [pytest.mark.fault, pytest.mark.slow]

PROVIDER_KEY = "sk-canary-of-the-provider-5Jq0"
PASSWORD = "canary-of-the-database-8Zt3"


@pytest.fixture(scope="module")
def provider() -> Iterator[Evil]:
    with serving() as evil:
        yield evil


@pytest.fixture(autouse=True)
def secretive(whole_fleet: Fleet, provider: Evil) -> Iterator[None]:
    """Give every process all secrets that it can have, and have it say all it can."""
    url = urlsplit(whole_fleet.env["DATABASE_URL"])
    user = url.netloc.rpartition("@")[0]
    netloc = url.netloc.replace(f"{user}@", f"{user}:{PASSWORD}@")
    for name in NAMES:
        whole_fleet.base[name] = {
            "OPENAI_API_KEY": PROVIDER_KEY,
            "OPENAI_BASE_URL": f"http://{provider.address}/v1",
            "DATABASE_URL": urlunsplit(url._replace(netloc=netloc)),
            "CORE_LOG_LEVEL": "DEBUG",
        }
    yield
    whole_fleet.base.clear()


def test_no_secret_leaves_the_process_that_needs_it(
    secretive: None, fleet: Fleet, provider: Evil
) -> None:
    # Given secrets that every process knows, and keys that people came with
    credentials = json.loads(fleet.application.data.credentials.read_text())
    secrets = {
        "secret key": fleet.env["CORE_SECRET_KEY"],
        "provider key": PROVIDER_KEY,
        "database password": PASSWORD,
        "api key": fleet.client.headers["Authorization"].rpartition("_")[2],
        "login": credentials["password"],
    }
    assert all(len(secret) >= 16 for secret in secrets.values())

    # When executions succeed, fail, and take their worker with them
    succeed(fleet)
    fail(fleet)
    assert "/v1/responses" in provider.hits or "/v1/chat/completions" in provider.hits
    crashed = crash(fleet)

    # And servers go away, and people make mistakes
    fleet.valkey.kill()
    fleet.halt_postgres()
    for name in (CPU, IO):
        said = len(fleet.log(name))
        until(lambda: "Connection" in fleet.log(name)[said:], what="a complaint")  # noqa: B023
    fleet.restore_servers()
    for path in ("orchestrations/", "roles/", "executions/bulk/"):
        fleet.post(path, {"config": 1}, status=400)

    for name in (CPU, CPU_2, IO):
        fleet.kill(name)
    queued = fleet.execute(
        fleet.orchestration(step("say", "agent", input_mapping={"word": "it"}))
    )

    # Then none of the secrets stands where these do: everywhere
    shown = (crashed, queued, "Bad Request: /api/v1/roles/")
    places = "\n".join(found(fleet, shown))
    for place in ("web.log", "public.executions_event", "/events/", "valkey"):
        assert place in places
    assert found(fleet, secrets.values()) == []
    fleet.post(f"executions/{queued}/terminate/", None, status=200)


def succeed(fleet: Fleet) -> None:
    address = f"http://{fleet.sink.address}/"
    body = {"name": "web", "kind": "http", "config": {"url": address, "method": "POST"}}
    fleet.post("roles/", body, status=201)
    body = {"name": "agent", "kind": "agent", "base_prompt": "Say {{ input.word }}."}
    fleet.post("roles/", body, status=201)
    ended = fleet.run(
        step("effect", fleet.role("fault.effect")),
        step("web", "web", input_mapping={"a": 1}),
        step("agent", "agent", input_mapping={"word": "please"}),
        seconds=60,
    )
    assert ended["status"] == "completed", ended["error"]


def fail(fleet: Fleet) -> None:
    model = {"model_constraints": {"model": "openai:gpt-5"}}
    body = {"name": "refused", "kind": "agent", "base_prompt": "Hello.", **model}
    fleet.post("roles/", body, status=201)
    body = {"name": "unknown", "kind": "agent", "base_prompt": "Hello."}
    unknown = {"model_constraints": {"model": "anthropic:claude"}}
    fleet.post("roles/", {**body, **unknown}, status=201)
    for name in ("refused", "unknown", fleet.role("test.fail")):
        ended = fleet.run(step("bad", name), seconds=60)
        assert ended["status"] == "failed"


def crash(fleet: Fleet) -> str:
    once = step("once", fleet.role("fault.exit"), at_most_once=True)
    execution = fleet.execute(fleet.orchestration(once))
    until(
        lambda: fleet.execution(execution)["status"] == "waiting",
        what="a call for attention",
    )
    fleet.post(f"executions/{execution}/terminate/", None, status=200)
    return execution
