"""
Whoever has the meta-tools builds a pipeline, runs it, and reports what it came to.

The same story four times: an agent that calls tools, one that writes a program, a
client of MCP over HTTP, and one over stdio.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.acceptance.agents import agent, ask, audited, model, tool_calls, transcript
from tests.acceptance.provider import Asked, Provider, Turn, calls, says
from tests.acceptance.system import System
from tests.integration.mcp_web import client_of, run

pytestmark = pytest.mark.acceptance

TASK = {"task": "Build login form"}
ROOT = Path(__file__).resolve().parent.parent.parent
_numbers = itertools.count(1)


class Story:
    """What is to be made, under names of its own."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.engineer = f"Engineer {number}"
        self.reviewer = f"Reviewer {number}"
        self.name = f"Code Review Pipeline {number}"

    @property
    def roles(self) -> list[dict[str, Any]]:
        return [
            {
                "name": self.engineer,
                "kind": "agent",
                "base_prompt": "You plan and write code. Be brief.",
            },
            {
                "name": self.reviewer,
                "kind": "agent",
                "base_prompt": "You review code. Say what is wrong with it.",
            },
        ]

    @property
    def pipeline(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tags": ["code", "review"],
            "steps": [
                {
                    "name": "Plan",
                    "role_name": self.engineer,
                    "input_mapping": {"task": "{{ context.input.task }}"},
                },
                {
                    "name": "Code",
                    "role_name": self.engineer,
                    "input_mapping": {"plan": "{{ context.plan }}"},
                },
                {
                    "name": "Review",
                    "role_name": self.reviewer,
                    "input_mapping": {"code": "{{ context.code }}"},
                },
            ],
            "output": {"review": "{{ context.review }}"},
        }

    def check(self, system: System, output: Any) -> Mapping[str, Any]:
        """Check that the pipeline is there and ran once; return its execution."""
        made = system.get(f"orchestrations/?name={self.name}")["results"]
        assert [each["name"] for each in made] == [self.name]
        rows = system.get(f"executions/?orchestration={made[0]['id']}")["results"]
        assert [row["status"] for row in rows] == ["completed"]
        execution = system.execution(rows[0]["id"])
        logs = execution["step_logs"]
        assert [log["step_key"] for log in logs] == ["plan", "code", "review"]
        assert execution["input"] == TASK
        assert "[demo]" in str(output)
        assert execution["output"] == output
        return execution


# --- an agent -------------------------------------------------------------------------


def scripted(story: Story) -> list[Turn | Callable[[Asked], Turn]]:
    """Play a model that reads what its tools return, as a real one does."""
    first, second = story.roles

    def execute(asked: Asked) -> Turn:
        made = asked.results[-1]
        return calls("system_execute_orchestration", id=made["id"], input=TASK)

    def poll(asked: Asked) -> Turn:
        last = asked.results[-1]
        if last["status"] == "completed":
            return says(json.dumps(last["output"]))
        return calls("system_get_execution_status", id=last["execution_id"])

    return [
        calls("system_create_role", **first),
        calls("system_create_role", **second),
        calls("system_create_orchestration", **story.pipeline),
        execute,
        poll,
    ]


def test_an_agent_builds_it_and_reports_its_output(
    system: System, provider: Provider
) -> None:
    story = Story()
    builder = agent(system, model(system, provider, *scripted(story)), tools=["meta"])

    ended = ask(system, builder, "Build a code review pipeline.", seconds=60)

    assert ended["status"] == "completed", ended["error"]
    output = json.loads(ended["step_logs"][0]["output"])
    execution = story.check(system, output)
    assert execution["parent_execution_id"] == ended["id"]
    assert execution["origin"]["kind"] == "agent"
    made = system.get(f"roles/?name={story.engineer}")["results"][0]
    assert made["provenance"]["execution_id"] == ended["id"]
    called = [call["tool"] for call in tool_calls(system, ended["id"])]
    assert called[:4] == [
        "system.create_role",
        "system.create_role",
        "system.create_orchestration",
        "system.execute_orchestration",
    ]
    assert set(called[4:]) == {"system.get_execution_status"}
    on_record = [row["object"]["name"] for row in audited(system, ended["id"], "done")]
    assert {*called, story.engineer, story.name} <= set(on_record)


def program_of(story: Story) -> str:
    """Write what a model writes who has read the stubs."""

    def call(tool: str, arguments: Mapping[str, Any]) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        return f"await system.{tool}({given})"

    return f"""
{call("create_role", story.roles[0])}
{call("create_role", story.roles[1])}
made = {call("create_orchestration", story.pipeline)}
run = await system.execute_orchestration(id=made["id"], input={TASK!r})
while run["status"] not in ("completed", "failed"):
    run = await system.get_execution_status(id=run["execution_id"])
print(run["status"])
run["output"]
"""


def test_an_agent_does_the_same_by_a_program(
    system: System, provider: Provider
) -> None:
    story = Story()
    program = program_of(story)

    def report(asked: Asked) -> Turn:
        return says(json.dumps(asked.results[-1]))

    name = model(system, provider, calls("run_code", code=program), report)
    builder = agent(system, name, tools=["meta"], config={"code_mode": True})

    ended = ask(system, builder, "Build a code review pipeline.", seconds=60)

    assert ended["status"] == "completed", ended["error"]
    (code,) = [
        r["data"] for r in transcript(system, ended["id"]) if r["kind"] == "code"
    ]
    assert code["error"] is None, code
    assert code["output"].strip() == "completed"
    assert code["program"] == program
    assert [call["tool"] for call in code["calls"]][:3] == [
        "system.create_role",
        "system.create_role",
        "system.create_orchestration",
    ]
    story.check(system, code["result"])
    assert provider.asked_of(name.partition(":")[2])[0].tools == ["run_code"]


# --- a client of MCP ------------------------------------------------------------------


async def told(client: Client, story: Story) -> Any:
    """Have a client do it, and return the output."""

    async def call(tool: str, arguments: Any) -> Any:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result
        return result.structured_content

    for role in story.roles:
        await call("system.create_role", role)
    made = await call("system.create_orchestration", story.pipeline)
    given = {"id": made["id"], "input": TASK, "wait_ms": 20_000}
    ran = await call("system.execute_orchestration", given)
    while ran["status"] not in ("completed", "failed"):
        asked = {"id": ran["execution_id"]}
        ran = await call("system.get_execution_status", asked)
    return ran["output"]


def test_a_client_does_the_same_over_http(system: System) -> None:
    story = Story()
    token = system.client.headers["Authorization"].removeprefix("Bearer ")

    async def tell() -> Any:
        async with client_of(f"http://127.0.0.1:{system.port}", token) as client:
            return await told(client, story)

    story.check(system, run(tell))


def test_a_client_does_the_same_over_stdio(system: System) -> None:
    story = Story()
    token = system.client.headers["Authorization"].removeprefix("Bearer ")
    server = StdioServerParameters(
        command=sys.executable,
        args=[str(ROOT / "manage.py"), "mcp"],
        env={**system.env, "CORE_API_KEY": token},
        cwd=ROOT,
    )

    async def tell() -> Any:
        async with Client(stdio_client(server)) as client:
            return await told(client, story)

    story.check(system, run(tell))
