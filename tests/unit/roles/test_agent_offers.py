from __future__ import annotations

import asyncio
import json

import pytest
from pydantic_ai import models

from roles.runners import RunnerError
from roles.runners.agent import AgentRunner
from roles.runners.agent import models as agent_models
from roles.runners.hosting import Offer
from tests.unit.roles.agent_host import ScriptedHost
from tests.unit.roles.http_server import running_server
from tests.unit.roles.test_agent_providers import COMPLETION

RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "output": [
        {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 9,
        "output_tokens": 4,
        "total_tokens": 13,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens_details": {"reasoning_tokens": 3},
    },
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}
MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 4},
}
CANDIDATE = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Hello"}]},
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4},
    "modelVersion": "m",
}
LANGUAGES = [
    ("openai", "/chat/completions", COMPLETION),
    ("openai-responses", "/responses", RESPONSE),
    ("anthropic", "/v1/messages", MESSAGE),
    ("google", "/v1beta/models/m:generateContent", CANDIDATE),
]


@pytest.fixture
def server(offline, monkeypatch):
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    with running_server() as server:
        yield server


@pytest.fixture
def ask(role, attempt_for):
    def run(*offers, **fields):
        host = ScriptedHost()
        host.offers = list(offers)

        async def call():
            facts = attempt_for(30, host=host)
            try:
                return await AgentRunner().run(role("agent", **fields), "x", facts)
            finally:
                await agent_models.close()

        return asyncio.run(call()), host

    return run


def own(server, api, credential="sk-own", **fields):
    return Offer(
        name=f"own-{api}:m",
        provider="own",
        model="m",
        api=api,
        base_url=server.url,
        credential=credential,
        **fields,
    )


def says(server, path, body, **more):
    server.says(
        path, json.dumps(body).encode(), Content_Type="application/json", **more
    )


@pytest.mark.parametrize(("api", "path", "body"), LANGUAGES)
def test_an_address_of_its_own_is_asked_with_its_own_credential(
    server, ask, monkeypatch, api, path, body
):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    says(server, path, body)
    result, host = ask(own(server, api))

    assert result.output == "Hello"
    assert "sk-own" in " ".join(server.seen[0].headers.values())
    assert "sk-own" not in repr(host.offers)


@pytest.mark.parametrize(("api", "path", "body"), LANGUAGES)
def test_a_key_of_the_environment_goes_to_no_other_address(
    server, ask, monkeypatch, api, path, body
):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    says(server, path, body)
    ask(own(server, api, credential=""))

    assert "sk-of-the-environment" not in str(server.seen)


def test_cached_and_reasoning_tokens_are_told(server, ask):
    says(server, "/responses", RESPONSE)
    result, host = ask(own(server, "openai-responses"))

    assert (result.usage["cached_tokens"], result.usage["reasoning_tokens"]) == (5, 3)
    usage = host.ended[0][1]
    assert (usage.input_tokens, usage.output_tokens) == (9, 4)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (5, 3)


def test_retry_after_is_obeyed_by_the_engine_and_not_by_the_client(server, ask):
    says(
        server,
        "/chat/completions",
        {"error": {"message": "slow down"}},
        status=429,
        Retry_After="7",
    )
    says(server, "/responses", RESPONSE)
    result, host = ask(own(server, "openai"), own(server, "openai-responses"))

    assert result.output == "Hello"
    assert host.failed == [("own-openai:m", True, 7.0)]
    assert len(server.seen) == 2


@pytest.mark.parametrize("api", ["", "mistral", "demo"])
def test_an_address_whose_language_is_not_known_is_refused(server, ask, api):
    with pytest.raises(RunnerError) as caught:
        ask(own(server, api))

    assert caught.value.type == "model_not_configured"
    assert "`api` must be" in caught.value.message
    assert "sk-own" not in caught.value.message


def test_models_of_one_name_are_told_apart_by_address_and_credential(server, offline):
    async def call():
        offers = [
            own(server, "openai"),
            own(server, "openai", credential="sk-two"),
            own(server, "openai-responses"),
        ]
        made = [await agent_models.get(offer) for offer in offers]
        assert len({id(model) for model in made}) == 3
        again = [await agent_models.get(offers[0]) for _ in range(agent_models.CLIENTS)]
        assert made[0] in again
        assert "sk-" not in str(agent_models._MODELS)
        await agent_models.close()

    asyncio.run(call())


def test_without_models_nothing_is_asked(ask):
    with pytest.raises(RunnerError) as caught:
        ask()

    assert (caught.value.type, caught.value.retryable) == ("no_model", False)
