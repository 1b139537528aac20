from __future__ import annotations

import json

import pytest
from pydantic_ai import models

from tests.unit.roles.http_server import running_server

REAL = {"model": "openai-chat:gpt-4o"}
COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello"},
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}


@pytest.fixture
def provider(offline, monkeypatch):
    """Let the real OpenAI client talk to a scripted server."""
    with running_server() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
        yield server


def test_a_real_client_is_asked_over_http(provider, ask):
    provider.says(
        "/chat/completions",
        json.dumps(COMPLETION).encode(),
        Content_Type="application/json",
    )
    result = ask("hi", base_prompt="Be kind.", model_constraints=REAL)

    assert result.output == "Hello"
    assert result.usage == {
        "requests": 1,
        "input_tokens": 7,
        "output_tokens": 2,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "tool_calls": 0,
        "model": "openai-chat:gpt-4o",
    }
    messages = json.loads(provider.seen[0].body)["messages"]
    assert [message["content"] for message in messages] == ["Be kind.", "hi"]


@pytest.mark.parametrize(
    ("status", "headers", "type_", "retryable", "pause"),
    [
        (401, {}, "model_unauthorized", False, None),
        (403, {}, "model_unauthorized", False, None),
        (404, {}, "model_unknown", False, None),
        (400, {}, "model_request_rejected", False, None),
        (429, {"Retry_After": "7"}, "model_rate_limited", True, 7),
        (429, {"Retry_After": "999999"}, "model_rate_limited", True, 86_400),
        (500, {}, "model_unavailable", True, None),
        (503, {"Retry_After": "2"}, "model_unavailable", True, 2),
    ],
)
def test_a_provider_that_refuses_is_asked_once(
    provider, ask_fails, status, headers, type_, retryable, pause
):
    provider.says(
        "/chat/completions",
        b'{"error": {"message": "no"}}',
        status=status,
        Content_Type="application/json",
        **headers,
    )
    error = ask_fails("hi", model_constraints=REAL)

    assert (error.type, error.retryable) == (type_, retryable)
    assert error.retry_after_s == pause
    assert len(provider.seen) == 1
    assert "sk-canary" not in error.message


def test_a_provider_that_cannot_be_reached_may_be_asked_again(
    provider, ask_fails, monkeypatch
):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    error = ask_fails("hi", model_constraints=REAL)

    assert (error.type, error.retryable) == ("model_connection", True)
