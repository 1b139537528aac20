from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roles import functions
from roles.runners import RunnerError, http, http_client
from roles.runners.agent import AgentRunner, alone
from roles.runners.agent import models as agent_models
from roles.runners.base import Attempt, RoleSpec
from roles.runners.http import HttpRunner
from tests.unit.roles.http_server import running_server


@pytest.fixture
def attempt() -> Attempt:
    return make_attempt()


@pytest.fixture
def attempt_for() -> Callable[..., Attempt]:
    return make_attempt


@pytest.fixture
def role() -> Callable[..., RoleSpec]:
    def make(kind: str = "function", **fields: Any) -> RoleSpec:
        return RoleSpec(id="r1", name="A role", kind=kind, **fields)

    return make


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test registers away from all other tests."""
    monkeypatch.setattr(functions, "_ENTRIES", dict(functions.registered()))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http, "_configuration", http.Configuration())
    with running_server() as server:
        http.configure(allowed_hosts=[f"127.0.0.1:{server.port}"])
        yield server


@pytest.fixture
def send(role, attempt_for):
    """Run HTTP roles one after the other on one event loop."""

    def run(*configs, given=None, seconds=10):
        async def calls():
            try:
                results = [
                    await HttpRunner().run(
                        role("http", config=config), given, attempt_for(seconds)
                    )
                    for config in configs
                ]
            finally:
                await http_client.close()
            return results

        return [result.output for result in asyncio.run(calls())][-1]

    return run


@pytest.fixture
def fails(send):
    def run(*configs, **options):
        with pytest.raises(RunnerError) as caught:
            send(*configs, **options)
        return caught.value

    return run


@pytest.fixture
def offline(monkeypatch):
    """Let no test of agents reach a real model, or find a key to do so."""
    from pydantic_ai import models

    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", False)
    monkeypatch.setattr(alone, "_configuration", alone.Configuration())
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ask(offline, role, attempt_for):
    """Run an agent role on an event loop of its own."""

    def run(given=None, seconds=30, **fields):
        fields.setdefault("model_constraints", {"model": "test:scripted"})

        async def call():
            spec = role("agent", **fields)
            try:
                return await AgentRunner().run(spec, given, attempt_for(seconds))
            finally:
                await agent_models.close()

        return asyncio.run(call())

    return run


@pytest.fixture
def ask_fails(ask):
    def run(*args, **fields):
        with pytest.raises(RunnerError) as caught:
            ask(*args, **fields)
        return caught.value

    return run


@pytest.fixture
def talk(offline, role, attempt_for, monkeypatch):
    """Run an agent role with a scripted host; scripts by the names of models."""
    from pydantic_ai import models
    from pydantic_ai.models.function import FunctionModel

    def run(host, seconds=30, given="hi", scripts=None, script=None, **fields):
        scripted = scripts or {each.name: script for each in host.offers}
        made = {name: FunctionModel(each) for name, each in scripted.items()}
        monkeypatch.setattr(models, "infer_model", made.__getitem__)
        fields.setdefault("tools", tuple(host.tools))

        async def call():
            spec, facts = role("agent", **fields), attempt_for(seconds, host=host)
            try:
                return await AgentRunner().run(spec, given, facts)
            finally:
                await agent_models.close()

        return asyncio.run(call())

    return run


def make_attempt(seconds: float = 30, **fields: Any) -> Attempt:
    facts: dict[str, Any] = {
        "execution_id": "e1",
        "step_key": "fetch",
        "number": 1,
        "idempotency_key": "run-1",
        "deadline": datetime.now(UTC) + timedelta(seconds=seconds),
        "logger": logging.getLogger("test"),
    }
    return Attempt(**{**facts, **fields})
