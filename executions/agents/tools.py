"""The tools of one attempt: offered as the role was granted them, called and recorded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from executions.agents import recorder
from executions.agents.scene import Scene
from executions.lifecycle import Claim
from executions.spending.exchanges import Entry
from roles.acting import Actor
from roles.runners import RoleSpec, RunnerError
from roles.runners.hosting import Memory, OfferedTool, Refusal
from roles.secrets.redaction import Redactor
from roles.toolkit import Caller, Policy, Tool, ToolRefused, granted, invoke

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """What one attempt may call, and what it called before."""

    claim: Claim
    caller: Caller
    tools: Mapping[str, Tool]
    memory: Memory
    redactor: Redactor

    @classmethod
    async def open(
        cls,
        claim: Claim,
        role: RoleSpec,
        scene: Scene,
        *,
        memory: Memory,
        redactor: Redactor,
    ) -> Toolbox:
        """Gather what the role was granted; raises RunnerError `tool_unavailable`."""
        caller = _caller(claim, role, scene)
        try:
            tools = await granted(role.tools, caller)
        except ToolRefused as refusal:
            raise RunnerError(
                f"A tool of the role is not to be had: {refusal.detail}",
                type="tool_unavailable",
                retryable=False,
            ) from refusal
        return cls(
            claim=claim, caller=caller, tools=tools, memory=memory, redactor=redactor
        )

    @property
    def offered(self) -> Sequence[OfferedTool]:
        return [
            OfferedTool(
                name=tool.name,
                model_name=tool.model_name,
                description=tool.description,
                schema=tool.schema,
                needs_approval=tool.needs_approval,
            )
            for tool in self.tools.values()
        ]

    async def call(self, name: str, call_id: str, arguments: Any) -> Any:
        """Return what a call came to, now or before; raises Refusal."""
        done = self.memory.results.get(call_id)
        if done is None:
            done = await self._call(name, call_id, arguments)
            await recorder.keep(self._entry(call_id, done))
        if done["outcome"] == "done":
            return done["result"]
        raise Refusal(str(done["result"]))

    async def _call(self, name: str, call_id: str, arguments: Any) -> dict[str, Any]:
        began = monotonic()
        caller = replace(self.caller, call_key=f"{self.claim.run.id}:{call_id}")
        outcome = "done"
        try:
            result = await invoke(name, arguments, caller, box=self.tools)
        except ToolRefused as refusal:
            outcome, result = "refused", refusal.as_json()
        except Exception as error:
            log.info("The tool %s failed", name, exc_info=True)
            outcome, result = (
                "failed",
                f"The tool failed: {type(error).__name__}: {error}",
            )
        said = {
            "tool": name,
            "arguments": arguments,
            "outcome": outcome,
            "result": result,
            "duration_ms": round((monotonic() - began) * 1000),
        }
        kept: dict[str, Any] = self.redactor.value(said)
        return kept

    def _entry(self, call_id: str, data: Mapping[str, Any]) -> Entry:
        run = self.claim.run
        return Entry(
            execution_id=run.execution_id,
            step_run_id=run.id,
            path=run.path,
            attempt=self.claim.attempt,
            kind="tool",
            call_id=call_id,
            data=dict(data),
        )


def _caller(claim: Claim, role: RoleSpec, scene: Scene) -> Caller:
    actor = Actor(
        channel="agent",
        user_id=scene.user_id,
        user_name=scene.user_name,
        api_key_id=str(scene.api_key_id) if scene.api_key_id else None,
        execution_id=str(claim.run.execution_id),
        step_path=claim.run.path,
        role_id=role.id,
        role_name=role.name,
    )
    policy = Policy.model_validate(role.config.get("policy") or {})
    return Caller(
        actor=actor,
        user_id=scene.user_id,
        policy=policy,
        depth=scene.depth,
        approval=role.config.get("approval"),
    )
