"""Agents on real workers against a mock of three providers that others keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.agents import agent, ask, begin, tool_calls, transcript, waiting
from tests.acceptance.aimock import (
    Aimock,
    Turn,
    breaks_off,
    calls,
    dawdles,
    garbles,
    hangs_up,
    refuses,
    says,
)
from tests.acceptance.system import System, logs_by_key

pytestmark = pytest.mark.acceptance

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """Models and agents as an operator registers them, with all answers scripted."""

    system: System
    aimock: Aimock
    credential: str

    def model(self, api: str, *turns: Turn, **fields: Any) -> str:
        """Put a model that takes these turns into the catalogue; return its name."""
        document = {
            "provider": f"aimock-{api}",
            "model": self.aimock.script(*turns),
            "api": api,
            "base_url": self.aimock.base_url(api),
            "credential": self.credential,
            "capabilities": ["tools", "structured_output"],
            **fields,
        }
        return str(self.system.post("models/", document, status=201)["name"])

    def secret(self, name: str, value: str, *hosts: str) -> str:
        document = {"name": name, "value": value, "allowed_hosts": hosts}
        self.system.post("secrets/", document, status=201)
        return name

    def left_alone(self, model: str) -> bool:
        found = self.system.get("breakers/")["results"]
        return f"{model}:{self.credential}" in {each["key"] for each in found}

    def asked_of(self, model: str) -> list[dict[str, Any]]:
        return self.aimock.asked_of(model.partition(":")[2])


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    aimock = Aimock(tmp_path_factory.mktemp("aimock") / "log")
    yield aimock
    aimock.stop()


@pytest.fixture(scope="module")
def system(aimock: Aimock, request: pytest.FixtureRequest) -> System:
    """Return the session's fleet; without aimock none is started."""
    fleet: System = request.getfixturevalue("system")
    return fleet


@pytest.fixture(scope="module")
def agency(aimock: Aimock, system: System) -> Agency:
    agency = Agency(system=system, aimock=aimock, credential="aimock-key")
    agency.secret("aimock-key", aimock.key, aimock.host)
    return agency


@pytest.fixture(params=["openai", "anthropic", "google"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def usage_of(execution: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = logs_by_key(execution)["ask"]["usage"]
    return found


# --- what goes well -----------------------------------------------------------------


def test_a_model_calls_a_tool_and_answers_with_what_it_gave(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(
        api,
        calls("function_math_add", {"input": {"a": 19, "b": 23}}),
        says("It is 42.", toolResultContains="42"),
    )

    ended = ask(system, agent(system, model, tools=["function:math.add"]))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"] == "It is 42."
    assert len(agency.asked_of(model)) == 2
    usage = usage_of(ended)
    assert (usage["requests"], usage["tool_calls"]) == (2, 1)
    (call,) = tool_calls(system, ended["id"])
    assert call["tool"] == "function:math.add"
    assert call["arguments"] == {"input": {"a": 19, "b": 23}}
    assert (call["outcome"], call["result"]) == ("done", 42)


def test_an_answer_is_held_to_the_output_schema(
    system: System, agency: Agency, api: str
) -> None:
    bern = {"city": "Bern", "people": 134_000}
    model = agency.model(api, calls("final_result", bern))

    ended = ask(system, agent(system, model, output_schema=CITY))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"] == bern
    usage = usage_of(ended)
    assert (usage["requests"], usage["tool_calls"]) == (1, 0)


def test_an_answer_that_misfits_is_repaired(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(
        api,
        calls("final_result", {"city": "Bern", "people": "many"}),
        calls("final_result", {"city": "Bern", "people": 134_000}),
    )

    ended = ask(system, agent(system, model, output_schema=CITY))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"]["people"] == 134_000
    assert usage_of(ended)["requests"] == 2


def test_a_streamed_answer_is_the_same(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(
        api,
        calls("function_math_add", {"input": {"a": 19, "b": 23}}, tokens=(1000, 100)),
        says("It is 42, I think.", tokens=(2000, 50), toolResultContains="42"),
    )
    role = agent(system, model, tools=["function:math.add"], config={"stream": True})

    ended = ask(system, role)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"] == "It is 42, I think."
    assert all(asked["stream"] for asked in agency.asked_of(model))
    usage = usage_of(ended)
    assert (usage["requests"], usage["tool_calls"]) == (2, 1)
    assert (usage["input_tokens"], usage["output_tokens"]) == (3000, 150)


def test_tokens_and_their_cost_are_recorded(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(
        api,
        calls("function_math_add", {"input": {"a": 1, "b": 1}}, tokens=(1000, 100)),
        says("2", tokens=(3000, 20), toolResultContains="2"),
        input_price="2.5",
        output_price="10",
    )

    ended = ask(system, agent(system, model, tools=["function:math.add"]))

    spent = {
        "requests": 2,
        "tool_calls": 1,
        "input_tokens": 4000,
        "output_tokens": 120,
        "cost": "0.011200",  # 4000 x 2.5 and 120 x 10 of a million
        "unpriced_requests": 0,
    }
    log, usage = usage_of(ended), f"executions/{ended['id']}/usage/"
    assert log["model"] == model
    assert spent.items() <= log.items()
    assert spent.items() <= ended["usage"].items()
    assert spent.items() <= system.get(usage)["own"].items()
    report = system.get(f"usage/?execution={ended['id']}&group_by=model")
    (group,) = report["groups"]
    assert (group["provider"], group["model"]) == (f"aimock-{api}", model)
    assert spent.items() <= group["usage"].items()


# --- what does not ------------------------------------------------------------------


def test_an_unknown_price_is_not_taken_for_nothing(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(api, says("Bern", tokens=(1000, 100)))

    ended = ask(system, agent(system, model))

    report = system.get(f"usage/?execution={ended['id']}&group_by=model")
    for usage in (usage_of(ended), ended["usage"], report["groups"][0]["usage"]):
        assert usage["cost"] is None
        assert (usage["unpriced_requests"], usage["input_tokens"]) == (1, 1000)


def test_a_rate_limit_parks_the_step_until_the_provider_is_ready(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(api, refuses(429, retry_after=2), says("Bern"))

    execution_id = begin(system, agent(system, model), max_retries=0)

    parked = waiting(system, execution_id, "provider")
    assert parked["waiting_on"]["expected"] is not None
    assert logs_by_key(parked)["ask"]["status"] == "waiting"
    assert agency.left_alone(model)
    ended = system.finished(execution_id)
    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"] == "Bern"
    assert ended["duration_ms"] >= 2000
    assert len(agency.asked_of(model)) == 2
    assert usage_of(ended)["requests"] == 1
    assert not agency.left_alone(model)


def test_the_next_model_answers_for_one_that_is_overloaded(
    system: System, agency: Agency, api: str
) -> None:
    first = agency.model(api, refuses(503))
    second = agency.model(api, says("Bern"))
    constraints = {"preferred": [first, second], "max_fallbacks": 1}

    ended = ask(system, agent(system, model_constraints=constraints), max_retries=0)

    assert ended["status"] == "completed", ended["error"]
    assert (len(agency.asked_of(first)), len(agency.asked_of(second))) == (1, 1)
    assert (usage_of(ended)["model"], usage_of(ended)["requests"]) == (second, 1)
    report = system.get(f"usage/?execution={ended['id']}&group_by=model")
    assert [group["model"] for group in report["groups"]] == [second]


def test_a_model_that_is_too_slow_ends_with_the_steps_time(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(api, dawdles(says("Bern"), ms=30_000))

    ended = ask(system, agent(system, model), timeout_ms=1500, max_retries=0)

    assert ended["status"] == "failed"
    log = logs_by_key(ended)["ask"]
    # The agent and the engine have the same deadline; whose clock is ahead says so.
    ends = {("timed_out", "timed_out"), ("failed", "model_timeout")}
    assert (log["status"], log["error"]["type"]) in ends
    assert 1500 <= ended["duration_ms"] < 1500 + 5000
    assert agency.asked_of(model) == []


def test_a_connection_that_breaks_is_worth_another_attempt(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(api, hangs_up(), says("Bern"))
    retry = {"max_retries": 1, "retry_delay_ms": 0}

    ended = ask(system, agent(system, model), **retry)

    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(ended)["ask"]["attempt"] == 2
    assert usage_of(ended)["requests"] == 1


def test_a_stream_that_breaks_off_is_no_answer(
    system: System, agency: Agency, api: str
) -> None:
    model = agency.model(api, breaks_off("Bern is the capital."), says("Bern"))
    role = agent(system, model, config={"stream": True})

    ended = ask(system, role, max_retries=1, retry_delay_ms=0)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["ask"] == "Bern"
    assert logs_by_key(ended)["ask"]["attempt"] == 2


def test_an_answer_that_cannot_be_read_fails_the_step(
    system: System, agency: Agency, api: str
) -> None:
    ended = ask(system, agent(system, agency.model(api, garbles())), max_retries=0)

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "bad_model_answer"


def test_a_key_that_is_refused_is_not_tried_again(
    system: System, agency: Agency, api: str
) -> None:
    key = f"sk-never-{api}"
    secret = agency.secret(f"refused-by-{api}", key, agency.aimock.host)
    model = agency.model(api, says("Bern"), credential=secret)

    ended = ask(system, agent(system, model), max_retries=3)

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "model_unauthorized"
    assert logs_by_key(ended)["ask"]["attempt"] == 1
    assert key not in json.dumps([ended, transcript(system, ended["id"])])
    assert agency.asked_of(model) == []


def test_a_key_goes_to_no_host_that_it_is_not_for(
    system: System, agency: Agency
) -> None:
    secret = agency.secret("not-for-aimock", agency.aimock.key, "models.example")
    model = agency.model("openai", says("Bern"), credential=secret)

    ended = ask(system, agent(system, model), max_retries=0)

    assert ended["status"] == "failed"
    assert ended["error"]["type"].startswith("secret_")
    assert agency.asked_of(model) == []
