from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from pydantic_ai.exceptions import (
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelUnavailableError,
)

from roles.runners import RunnerError
from roles.runners.agent import AgentRunner
from roles.runners.agent.shielding import surely
from roles.runners.hosting import Parked
from tests.unit.roles.agent_host import Script, ScriptedHost, calls

ANSWER = {
    "type": "object",
    "properties": {"verdict": {"enum": ["yes", "no"]}},
    "required": ["verdict"],
}


def rate_limited(retry_after=None):
    return ModelHTTPError.for_category(
        ModelRateLimitError, status_code=429, model_name="m", retry_after=retry_after
    )


def test_an_answer_ends_its_permit_with_usage_and_both_messages(talk):
    host = ScriptedHost()
    result = talk(host, script=Script("Hello there"), base_prompt="Be kind.")

    assert result.output == "Hello there"
    assert [name for name, _ in host.ended] == ["test:a"]
    request, response = host.messages
    assert (request["kind"], response["kind"]) == ("request", "response")
    assert request["instructions"] == "Be kind."
    assert not host.open
    usage = host.ended[0][1]
    assert usage.output_tokens == result.usage["output_tokens"] > 0


def test_a_rate_limited_model_leaves_the_request_to_the_next(talk):
    host = ScriptedHost("test:a", "test:b")
    scripts = {"test:a": Script(rate_limited(7.0)), "test:b": Script("from b")}
    result = talk(host, scripts=scripts)

    assert result.output == "from b"
    assert host.failed == [("test:a", True, 7.0)]
    assert [name for name, _ in host.ended] == ["test:b"]
    assert result.usage["model"] == "test:b"
    assert not host.open


def test_the_model_that_leave_was_given_for_is_asked(talk):
    host = ScriptedHost("test:a", "test:b")
    host.cheaper = {"test:a": "test:b"}
    scripts = {"test:a": Script("from a"), "test:b": Script("from b")}
    result = talk(host, scripts=scripts)

    assert result.output == "from b"
    assert result.usage["model"] == "test:b"
    assert [name for name, _ in host.ended] == ["test:b"]


@pytest.mark.parametrize(
    "failure",
    [
        rate_limited(),
        ModelQuotaExceededError("m", "no credit"),
        ModelUnavailableError("m", "down"),
        ModelHTTPError(529, "m"),
        ModelHTTPError(503, "m"),
        ModelHTTPError(429, "m"),
    ],
)
def test_a_provider_that_wants_to_be_left_alone_is_busy(talk, failure):
    host = ScriptedHost("test:a", "test:b")
    talk(host, scripts={"test:a": Script(failure), "test:b": Script("ok")})

    assert host.failed == [("test:a", True, None)]


def test_a_model_that_the_host_holds_back_is_not_asked(talk):
    host = ScriptedHost("test:a", "test:b")
    host.busy = {"test:a": 9}
    silent = Script()
    talk(host, scripts={"test:a": silent, "test:b": Script("ok")})

    assert not silent.asked
    assert not host.failed


def test_when_all_models_are_busy_the_step_waits_for_the_soonest(talk):
    host = ScriptedHost("test:a", "test:b", "test:c")
    host.busy = {"test:a": 60, "test:c": 9}
    with pytest.raises(Parked) as caught:
        talk(host, scripts={n.name: Script(rate_limited(30.0)) for n in host.offers})

    assert (caught.value.kind, caught.value.after_s) == ("provider", 9)
    assert host.failed == [("test:b", True, 30.0)]
    assert not host.open


def test_a_pause_that_nobody_names_is_short(talk):
    with pytest.raises(Parked) as caught:
        talk(ScriptedHost(), script=Script(rate_limited()))

    assert caught.value.after_s == 2


@pytest.mark.parametrize(
    ("failure", "type_", "retryable"),
    [
        (ModelConnectionError("m", "reset"), "model_connection", True),
        (ModelHTTPError(500, "m"), "model_failed", True),
        (ModelHTTPError(401, "m"), "model_failed", False),
    ],
)
def test_other_failures_give_the_permit_back_and_end_the_attempt(
    talk, failure, type_, retryable
):
    host, other = ScriptedHost("test:a", "test:b"), Script("never")
    with pytest.raises(RunnerError) as caught:
        talk(host, scripts={"test:a": Script(failure), "test:b": other})

    assert (caught.value.type, caught.value.retryable) == (type_, retryable)
    assert host.failed == [("test:a", False, None)]
    assert not other.asked
    assert not host.open


def test_a_bug_in_a_client_gives_the_permit_back(talk):
    host = ScriptedHost()
    with pytest.raises(ZeroDivisionError):
        talk(host, script=Script(ZeroDivisionError("bug")))

    assert host.failed == [("test:a", False, None)]


@pytest.mark.parametrize(
    "refusal",
    [
        Parked("The budget is spent.", kind="budget"),
        RunnerError("No money.", type="budget_exhausted", retryable=False),
    ],
)
def test_what_the_host_decides_comes_out_as_it_is(talk, refusal):
    host, script = ScriptedHost("test:a", "test:b"), Script("never")
    host.refusing = {"test:a": refusal}
    with pytest.raises(type(refusal)) as caught:
        talk(host, script=script)

    assert caught.value is refusal
    assert not script.asked


def test_the_deadline_gives_the_permit_back(talk):
    host = ScriptedHost()
    host.slow_s = 0.02

    async def forever():
        await asyncio.Event().wait()

    with pytest.raises(RunnerError) as caught:
        talk(host, script=Script(forever), seconds=0.3)

    assert (caught.value.type, caught.value.retryable) == ("model_timeout", True)
    assert host.failed == [("test:a", False, None)]
    assert not host.open


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.25])
def test_no_moment_of_cancellation_leaves_a_permit_open(
    offline, role, attempt_for, monkeypatch, moment
):
    """While the host decides, while the model thinks, while the answer is recorded."""
    from pydantic_ai import models
    from pydantic_ai.models.function import FunctionModel

    async def think():
        await asyncio.sleep(0.1)
        return calls()

    host, script = ScriptedHost(), Script(think)
    host.slow_s = 0.1
    monkeypatch.setattr(models, "infer_model", lambda name: FunctionModel(script))

    async def main():
        work = asyncio.create_task(
            AgentRunner().run(role("agent"), "x", attempt_for(30, host=host))
        )
        while not host.needs:
            await asyncio.sleep(0)
        await asyncio.sleep(moment)
        for _ in range(3):  # as impatient callers do
            work.cancel()
            await asyncio.sleep(0.01)
        with suppress(asyncio.CancelledError):
            await work
        assert work.cancelled()

    asyncio.run(main())
    assert not host.open
    assert len(host.failed) + len(host.ended) == 1


def test_a_host_that_never_comes_back_does_not_hold_the_attempt_for_ever():
    async def main():
        work = asyncio.create_task(surely(asyncio.Event().wait(), grace_s=0.05))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({work}, timeout=5)
        assert work.cancelled()

    asyncio.run(main())


def test_a_cancellation_outweighs_what_the_host_fails_with():
    async def fail():
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    async def main():
        work = asyncio.create_task(surely(fail()))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({work}, timeout=5)
        assert work.cancelled()

    asyncio.run(main())


def test_an_estimate_counts_the_request_and_the_longest_answer(talk):
    host = ScriptedHost()
    talk(host, script=Script("ok"), given="word " * 3000, config={"max_tokens": 77})
    ((_, estimate),) = host.begun

    assert 5_000 < estimate.input_tokens < 6_000
    assert estimate.output_tokens == 77


def test_needs_follow_from_the_role(talk):
    host = ScriptedHost(tools={"system.now": lambda: "noon"})
    talk(host, script=Script({"verdict": "yes"}), output_schema=ANSWER)

    assert host.needs.capabilities == {"tools", "structured_output"}
    assert host.needs.context_tokens == 0


def test_a_long_input_asks_for_room(talk):
    host = ScriptedHost()
    talk(host, script=Script("ok"), given="word " * 30_000)

    assert host.needs.context_tokens >= 50_000


def test_a_malformed_answer_is_repaired_and_both_are_on_record(talk):
    host = ScriptedHost()
    script = Script({"verdict": "maybe"}, {"verdict": "no"})
    result = talk(host, script=script, output_schema=ANSWER)

    assert result.output == {"verdict": "no"}
    assert [each["kind"] for each in host.messages] == ["request", "response"] * 2
    assert result.usage["requests"] == 2
    assert result.usage["input_tokens"] == sum(u.input_tokens for _, u in host.ended)


@pytest.mark.parametrize("repairs", [0, 1, 3])
def test_repairs_are_bounded(talk, repairs):
    script = Script(*[{"verdict": "maybe"}] * 9)
    with pytest.raises(RunnerError) as caught:
        talk(
            ScriptedHost(),
            script=script,
            output_schema=ANSWER,
            config={"max_repairs": repairs},
        )

    assert caught.value.type == "output_schema_mismatch"
    assert len(script.asked) == repairs + 1


def test_a_model_that_is_not_configured_leaves_the_work_to_the_next(
    offline, role, attempt_for
):
    host = ScriptedHost("openai:gpt-5", "demo:echo")

    async def call():
        return await AgentRunner().run(role("agent"), "x", attempt_for(30, host=host))

    assert asyncio.run(call()).usage["model"] == "demo:echo"


def test_texts_that_cannot_be_stored_are_mended(talk):
    host = ScriptedHost()
    result = talk(host, script=Script("a\0b\ud83dc"))

    assert result.output == "a\ufffdb\ufffdc"
    assert host.messages[1]["parts"][0]["content"] == result.output
