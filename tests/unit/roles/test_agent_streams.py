from __future__ import annotations

import asyncio

import pytest
from pydantic_ai import models
from pydantic_ai.exceptions import ModelConnectionError
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from roles.runners import RunnerError
from roles.runners.agent import AgentRunner
from roles.runners.hosting import Offer
from tests.unit.roles.agent_host import ScriptedHost
from tests.unit.roles.http_server import running_server

STREAM = {"stream": True}


@pytest.fixture
def stream(offline, role, attempt_for, monkeypatch):
    """Run an agent with models that stream these pieces, one list for each request."""

    def run(host, *answers, seconds=30, **fields):
        left = list(answers)

        async def pieces(messages, info):
            for piece in left.pop(0):
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    await asyncio.Event().wait()
                yield piece

        monkeypatch.setattr(
            models, "infer_model", lambda name: FunctionModel(stream_function=pieces)
        )
        fields.setdefault("tools", tuple(host.tools))

        async def call():
            spec = role("agent", config=STREAM, **fields)
            facts = attempt_for(seconds, host=host)
            return await AgentRunner().run(spec, "hi", facts)

        return asyncio.run(call())

    return run


def test_pieces_are_said_and_the_whole_is_recorded(stream):
    host = ScriptedHost()
    result = stream(host, ["Hel", "lo ", "there"])

    assert result.output == "Hello there"
    assert host.said == ["Hel", "lo ", "there"]
    assert host.messages[1]["parts"][0]["content"] == "Hello there"
    assert host.ended[0][1].output_tokens == result.usage["output_tokens"] > 0


def test_tools_are_called_out_of_a_stream(stream):
    host = ScriptedHost(tools={"add": lambda a: a + 1})
    call = {0: DeltaToolCall("add", '{"a": 1}', tool_call_id="c1")}

    assert stream(host, [call], ["two"]).output == "two"
    assert host.called == [("add", "c1", {"a": 1})]
    assert host.said == ["two"]


@pytest.mark.parametrize("pieces", [["Hel"], []])
def test_a_stream_that_breaks_off_is_a_failure_of_the_connection(stream, pieces):
    host = ScriptedHost()
    with pytest.raises(RunnerError) as caught:
        stream(host, [*pieces, ModelConnectionError("m", "reset")])

    assert (caught.value.type, caught.value.retryable) == ("model_connection", True)
    assert host.failed == [("test:a", False, None)]
    assert not host.open


def test_a_stream_that_stands_still_ends_with_the_deadline(stream):
    host = ScriptedHost()
    with pytest.raises(RunnerError) as caught:
        stream(host, ["Hel", None], seconds=0.3)

    assert caught.value.type == "model_timeout"
    assert not host.open


@pytest.mark.parametrize("flavour", ["echo", "writer"])
def test_demo_models_stream_the_same_text(role, attempt_for, flavour):
    async def say(config):
        host = ScriptedHost(f"demo:{flavour}")
        facts = attempt_for(30, host=host)
        spec = role("agent", config=config, base_prompt="Sum it up.")
        result = await AgentRunner().run(spec, "a  cup\nof tea ", facts)
        return result.output, host.said

    whole, _ = asyncio.run(say({}))
    output, said = asyncio.run(say(STREAM))
    assert output == whole == "".join(said)
    assert len(said) > 3


def test_demo_models_stream_structured_answers(role, attempt_for):
    async def say():
        facts = attempt_for(30, host=ScriptedHost("demo:echo"))
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        spec = role("agent", config=STREAM, output_schema=schema)
        return await AgentRunner().run(spec, "x", facts)

    assert isinstance(asyncio.run(say()).output["n"], int)


def test_a_real_stream_that_breaks_in_the_middle_may_be_asked_again(
    offline, role, attempt_for, monkeypatch
):
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    piece = (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}\n\n'
    )

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "10000")
        handler.end_headers()
        handler.wfile.write(piece)
        handler.wfile.flush()
        handler.close_connection = True

    with running_server() as server:
        server.answers["/chat/completions"] = answer
        host = ScriptedHost()
        host.offers = [
            Offer(
                name="own:m",
                provider="own",
                model="m",
                api="openai",
                base_url=server.url,
                credential="sk-canary",
            )
        ]

        async def call():
            facts = attempt_for(30, host=host)
            return await AgentRunner().run(role("agent", config=STREAM), "x", facts)

        with pytest.raises(RunnerError) as caught:
            asyncio.run(call())

    assert (caught.value.type, caught.value.retryable) == ("model_connection", True)
    assert not host.open
    assert "sk-canary" not in str(caught.value)
