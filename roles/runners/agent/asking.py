"""
Run an agent: what goes to the model, where it goes on, and what its answer comes to.

Importing this module imports the library, which takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai import AgentRunResult, DeferredToolRequests, UsageLimits
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from roles.runners.agent import models
from roles.runners.agent.building import agent_for
from roles.runners.agent.code import Programs
from roles.runners.agent.course import CHARACTERS_PER_TOKEN, Course
from roles.runners.agent.errors import classified
from roles.runners.agent.governed import Governed
from roles.runners.agent.memory import point_of_return, restored
from roles.runners.agent.schema import unwrapped
from roles.runners.agent.settings import AgentSettings
from roles.runners.agent.toolset import Granted, awaited
from roles.runners.base import Attempt, Result, RoleSpec, RunnerError
from roles.runners.hosting import Host, Needs, Offer, Parked, Question
from roles.runners.results import to_json

# Every model takes as much; only above it does the size of the input choose.
SMALL_CONTEXT = 8_000  # tokens
QUESTION = "May the agent make these calls?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done: a role's settings, its rendered prompt and the message."""

    role: RoleSpec
    settings: AgentSettings
    instructions: str
    message: str

    @property
    def is_equipped(self) -> bool:
        return bool(self.role.tools or self.settings.code_mode)

    def needs(self) -> Needs:
        """Say what the work takes of a model."""
        capabilities = set()
        if self.is_equipped or self.role.needs_tools:
            capabilities.add("tools")
        if self.role.output_schema:
            capabilities.add("structured_output")
        size = (len(self.instructions) + len(self.message)) // CHARACTERS_PER_TOKEN
        return Needs(
            capabilities=frozenset(capabilities),
            context_tokens=size if size > SMALL_CONTEXT else 0,
        )


async def ask(work: Work, attempt: Attempt, host: Host) -> Result:
    """Run the agent to its answer; raises Parked and RunnerError as they arise."""
    selection = await host.select(work.needs())
    offers, first = await _usable(selection.offers, attempt)
    memory = await host.recall()
    tools = tuple(await host.toolbox()) if work.is_equipped else ()
    course = Course(
        host=host,
        attempt=attempt,
        offers=offers,
        tools=tools,
        streams=work.settings.stream,
        seen=set(memory.results),
    )
    recorded = restored(memory.messages)
    history = point_of_return(recorded)
    course.remember(recorded, history)
    programs, waiting = None, awaited(tools, work.settings)
    if work.settings.code_mode:
        programs = Programs(course, work.settings, memory, waiting)
    granted = Granted(course, work.settings, memory, programs)
    course.fixed_size = granted.size + len(json.dumps(work.role.output_schema or ""))
    answer = await _run(work, course, first, granted, history)
    if isinstance(answer.output, DeferredToolRequests):
        raise _parked(answer.output, work.settings, granted)
    return Result(
        output=to_json(unwrapped(answer.output, work.role.output_schema)),
        usage=course.usage.as_json(course.model),
    )


async def _usable(
    offers: Sequence[Offer], attempt: Attempt
) -> tuple[list[Offer], Model]:
    """Return the offers from the first on that is configured, and its model."""
    problem: RunnerError | None = None
    for place, offer in enumerate(offers):
        try:
            return list(offers[place:]), await models.get(offer)
        except RunnerError as error:
            attempt.logger.warning(error.message)
            problem = problem or error
    raise problem or RunnerError(
        "No model was chosen for this role.", type="no_model", retryable=False
    )


async def _run(
    work: Work,
    course: Course,
    first: Model,
    granted: Granted,
    history: list[ModelMessage],
) -> AgentRunResult[Any]:
    settings = work.settings
    agent = agent_for(
        work.role.output_schema,
        repairs=settings.max_repairs,
        has_tools=not granted.is_empty,
    )
    try:
        return await agent.run(
            None if history else work.message,
            message_history=history or None,
            instructions=work.instructions or None,
            model=Governed(course, first),
            model_settings=_model_settings(settings),
            usage_limits=UsageLimits(
                request_limit=settings.max_requests,
                total_tokens_limit=settings.max_total_tokens,
            ),
            toolsets=None if granted.is_empty else [granted],
            infer_name=False,
        )
    except AgentRunError as failure:
        raise classified(failure) from failure
    except UserError as failure:
        raise RunnerError(
            f"This agent cannot be run: {failure}",
            type="agent_misconfigured",
            retryable=False,
        ) from failure


def _model_settings(settings: AgentSettings) -> ModelSettings:
    given: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed,
        "stop_sequences": settings.stop,
        "thinking": settings.thinking,
        "parallel_tool_calls": settings.parallel_tool_calls,
    }
    chosen = {key: value for key, value in given.items() if value is not None}
    return cast("ModelSettings", chosen)


def _parked(
    deferred: DeferredToolRequests, settings: AgentSettings, granted: Granted
) -> Parked:
    calls = [
        {
            "call_id": call.tool_call_id,
            "tool": granted.name_of(call.tool_name),
            "arguments": call.args_as_dict(),
        }
        for call in deferred.approvals
    ]
    approval = settings.approval
    question = Question(
        prompt=(approval.prompt if approval else "") or QUESTION,
        calls=calls,
        users=tuple(approval.users) if approval else (),
        groups=tuple(approval.groups) if approval else (),
        permission=approval.permission if approval else "",
        timeout_ms=approval.timeout_ms if approval else None,
    )
    names = ", ".join(sorted({str(call["tool"]) for call in calls}))
    return Parked(
        f"A person has to decide about {names}.", kind="approval", question=question
    )
