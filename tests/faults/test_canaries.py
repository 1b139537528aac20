"""Secrets that must be in no log, no table, no message and no answer."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.acceptance.agents import agent, model
from tests.acceptance.provider import Asked, Provider, Turn, says
from tests.acceptance.system import step, until
from tests.faults.evil import Evil, serving
from tests.faults.fleet import NAMES, Fleet
from tests.faults.hiding_places import found
from tests.faults.processes import CPU, CPU_2, IO, WEB
from tests.integration.mcp_web import served
from tests.unit.roles import outside_server

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
    kept = {
        "secret key": fleet.env["CORE_SECRET_KEY"],
        "provider key": PROVIDER_KEY,
        "database password": PASSWORD,
        "api key": fleet.client.headers["Authorization"].rpartition("_")[2],
        "login": credentials["password"],
    }
    assert all(len(secret) >= 16 for secret in kept.values())

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
    assert found(fleet, kept.values()) == []
    fleet.post(f"executions/{queued}/terminate/", None, status=200)


def test_no_secret_of_agents_and_their_tools_leaves_the_workers(
    secretive: None, fleet: Fleet
) -> None:
    # Given secrets in models, roles, tools and servers that say back what they get
    with scripted() as models, outside() as address:
        hosts = f"{fleet.sink.address},{urlsplit(address).netloc}"
        for name in (WEB, IO):
            fleet.base[name]["CORE_HTTP_ALLOWED_HOSTS"] = hosts
            fleet.restart(name)
        canaries = secrets_of_agents(fleet, address)

        # When they are used, by steps and by agents that say all they know
        used = use_secrets(fleet, models)
        for name in ("quoting", "refusing", "pausing"):
            misuse_secrets(fleet, models, name, canaries["model-key"])

    # Then those who should have them did, and they stand nowhere else
    bodies = [each.body for each in fleet.sink.at("/secret") if each.body]
    assert [body["key"] for body in bodies] == [canaries["tool-key"]] * 2
    assert {each.key for each in models.asked} == {canaries["model-key"]}
    words = ("All that I know", "[secret:tool-key]", "[secret:server-key]")
    places = "\n".join(found(fleet, words))
    for place in (used, "/transcript/", "executions_exchange", "executions_steprun"):
        assert place in places
    assert "audit/" in "\n".join(found(fleet, ["tool-key"]))
    assert found(fleet, canaries.values()) == []


@contextlib.contextmanager
def scripted() -> Iterator[Provider]:
    models = Provider()
    yield models
    models.stop()


@contextlib.contextmanager
def outside() -> Iterator[str]:
    """Serve an MCP server whose tool `header` says back the header that it got."""
    app = outside_server.made().streamable_http_app(stateless_http=True)
    with served(app) as at:
        yield f"{at}/mcp"


def secrets_of_agents(fleet: Fleet, address: str) -> dict[str, str]:
    """Make the secrets and what refers to them; return the values by their names."""
    names = ("model-key", "tool-key", "header-key", "server-key")
    values = {name: f"canary-{name}-{secrets.token_hex(12)}" for name in names}
    for name, value in values.items():
        fleet.post("secrets/", {"name": name, "value": value}, status=201)
    tool = {
        "url": f"http://{fleet.sink.address}/secret",
        "method": "POST",
        "headers": {"X-Key": {"$secret": "header-key", "prefix": "Key "}},
        "body": {"key": {"$secret": "tool-key"}},
    }
    fleet.post("roles/", {"name": "keyed", "kind": "http", "config": tool}, status=201)
    server = {
        "name": "outside",
        "url": address,
        "headers": {"Authorization": {"$secret": "server-key", "prefix": "Bearer "}},
        "allowed_tools": ["header", "shout"],
    }
    fleet.post("mcp-servers/", server, status=201)
    return values


def use_secrets(fleet: Fleet, models: Provider) -> str:
    """Run the role as a step and as a tool, beside the server's; return the execution."""
    both = Turn(calls=[("http_keyed", {}), ("mcp_outside_header", {})])
    name = asked(fleet, models, both, tell_all)
    grants = ["http:keyed", "mcp:outside"]
    ended = fleet.run(
        step("keyed", "keyed"),
        step("agent", agent(fleet, name, tools=grants), input_mapping="Hello"),
        seconds=60,
    )
    assert ended["status"] == "completed", ended["error"]
    return str(ended["id"])


def misuse_secrets(fleet: Fleet, models: Provider, name: str, key: str) -> None:
    """Have a provider quote the key that it was sent, in each way to say no."""
    text = f"Incorrect API key provided: {key}. Get one at example.com."
    turn = {
        "quoting": Turn(status=401, text=text),
        "refusing": Turn(status=400, text=text),
        "pausing": Turn(status=429, text=text, headers={"Retry-After": "3600"}),
    }[name]
    model_name = asked(fleet, models, turn)
    made = fleet.orchestration(step("agent", agent(fleet, model_name)))
    execution = fleet.execute(made)
    until(
        lambda: fleet.execution(execution)["status"] in ("failed", "waiting"),
        what="its end",
    )
    if name == "pausing":
        fleet.post(f"executions/{execution}/terminate/", None, status=200)


def asked(fleet: Fleet, models: Provider, *turns: Any) -> str:
    return model(fleet, models, *turns, credential="model-key")


def tell_all(request: Asked) -> Turn:
    return says(f"All that I know: {json.dumps(request.body)}")


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
