"""
Ask a language model as a step.

The role's `base_prompt` becomes the instructions, its input the message. With an
`output_schema` the answer is an object that fits it, and one repair is asked for
before the step fails; without one it is text. `config` is {"temperature",
"max_tokens"}, and `model_constraints.model` names the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from roles.runners import agent_models
from roles.runners.agent_errors import classified
from roles.runners.agent_schema import for_model, unwrapped
from roles.runners.base import Attempt, Pool, Result, RoleSpec, Runner, RunnerError
from roles.runners.rendering import as_text, prompt_problems, render_prompt
from roles.runners.results import pointer, to_json
from roles.runners.schemas import mismatch

if TYPE_CHECKING:
    from pydantic_ai import Agent, AgentRunResult
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

DEFAULT_MODEL = "demo:echo"
NO_INPUT = "Please begin."
REPAIRS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the operator decides for all agents."""

    default_model: str = DEFAULT_MODEL


_configuration = Configuration()


def configure(*, default_model: str) -> None:
    """Set the model, as `provider:name`, of roles that name none."""
    global _configuration
    _configuration = Configuration(default_model=default_model)


def model_of(role: RoleSpec) -> str:
    """Return the name of the model that the role would use."""
    for key in ("model", "pinned"):
        name = role.model_constraints.get(key)
        if isinstance(name, str) and name.strip():
            return name.strip()
    return _configuration.default_model


class AgentRunner(Runner):
    """Sends the prompt and the input to a model."""

    async def run(
        self,
        role: RoleSpec,
        input: Any,  # noqa: A002  (the contract's own word)
        attempt: Attempt,
    ) -> Result:
        """Ask once; a failure of the provider is classified, never waited out."""
        instructions = render_prompt(role.base_prompt, {"input": input})
        name = model_of(role)
        left = max(0.0, (attempt.deadline - datetime.now(UTC)).total_seconds())
        if role.tools:
            attempt.logger.warning("The role's tools are not offered to the model yet.")
        try:
            async with asyncio.timeout(left):
                model = await agent_models.get(name)
                answer = await _ask(role, model, instructions, _message(input))
        except TimeoutError:
            raise RunnerError(
                f"{name} gave no answer in {left:.3g} s.",
                type="model_timeout",
                retryable=True,
            ) from None
        return Result(
            output=to_json(unwrapped(answer.output, role.output_schema)),
            usage=_usage(answer, name),
        )

    def pool(self, role: RoleSpec) -> Pool:
        return "io"

    def problems(self, role: RoleSpec) -> list[tuple[str, str]]:
        return [
            *prompt_problems(role.base_prompt, "/base_prompt"),
            *_setting_problems(role.config),
            *_model_problems(role),
        ]


async def _ask(
    role: RoleSpec, model: Model, instructions: str, message: str
) -> AgentRunResult[Any]:
    from pydantic_ai.exceptions import AgentRunError, UserError

    try:
        agent = _agent(role, model, instructions)
        return await agent.run(message, model_settings=_settings(role))
    except AgentRunError as failure:
        raise classified(failure) from failure
    except UserError as failure:
        raise RunnerError(
            f"This agent cannot be run: {failure}",
            type="agent_misconfigured",
            retryable=False,
        ) from failure


def _agent(role: RoleSpec, model: Model, instructions: str) -> Agent[object, Any]:
    from pydantic_ai import Agent, ModelRetry, StructuredDict

    schema = role.output_schema
    output: Any = str
    if schema:
        output = StructuredDict(for_model(schema), name="answer")
    agent: Agent[object, Any] = Agent(
        model,
        output_type=output,
        instructions=instructions or None,
        name="role",
        retries={"output": REPAIRS},
    )
    if schema:

        @agent.output_validator
        def fits(answer: Any) -> Any:
            misfit = mismatch(unwrapped(answer, schema), schema)
            if misfit is not None:
                raise ModelRetry(f"The answer does not fit the schema: {misfit}")
            return answer

    return agent


def _settings(role: RoleSpec) -> ModelSettings:
    settings: ModelSettings = {"max_retries": 0}  # waiting is the engine's business
    if role.config.get("temperature") is not None:
        settings["temperature"] = role.config["temperature"]
    if role.config.get("max_tokens") is not None:
        settings["max_tokens"] = role.config["max_tokens"]
    return settings


def _message(given: Any) -> str:
    return NO_INPUT if given is None or given == "" else as_text(given)


def _usage(answer: AgentRunResult[Any], name: str) -> dict[str, Any]:
    usage = answer.usage
    return {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "model": name,
    }


def _setting_problems(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        (pointer("/config", key), "An agent takes `temperature` and `max_tokens`.")
        for key in sorted(set(config) - {"temperature", "max_tokens"})
    ]
    temperature, most = config.get("temperature"), config.get("max_tokens")
    if temperature is not None and not _is_number(temperature, 0, 2):
        found.append(("/config/temperature", "Give a number from 0 to 2."))
    if most is not None and not (isinstance(most, int) and _is_number(most, 1, 10**7)):
        found.append(("/config/max_tokens", "Give an integer above zero."))
    return found


def _is_number(value: Any, least: float, most: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return least <= value <= most


def _model_problems(role: RoleSpec) -> list[tuple[str, str]]:
    for key in ("model", "pinned"):
        name = role.model_constraints.get(key)
        if name is None:
            continue
        place = f"/model_constraints/{key}"
        if not isinstance(name, str):
            return [(place, "Name the model as `provider:name`.")]
        fault = agent_models.name_fault(name)
        return [(place, fault)] if fault else []
    return []
