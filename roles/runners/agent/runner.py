"""
The contract's side of agents: a role's prompt and input in, an answer or an error out.

The role's `base_prompt` becomes the instructions, its input the message. With an
`output_schema` the answer is an object that fits it, and repairs are asked for before
the step fails; without one it is text. `settings` says what `config` may hold, and
`constraints` how `model_constraints` choose the model.
"""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from roles.runners.agent.alone import Alone, failure_of
from roles.runners.agent.deadline import seconds_left
from roles.runners.agent.settings import AgentSettings, setting_problems, settings_of
from roles.runners.base import Attempt, Pool, Result, RoleSpec, Runner, RunnerError
from roles.runners.constraints import constraint_problems
from roles.runners.hosting import Parked
from roles.runners.rendering import as_text, prompt_problems, render_prompt

if TYPE_CHECKING:
    from types import ModuleType

NO_INPUT = "Please begin."

_ASKING = "roles.runners.agent.asking"
# The clients of providers, which are large, by what tells that they will be used.
_CLIENTS = {
    "pydantic_ai.models.openai": ("OPENAI_API_KEY",),
    "pydantic_ai.models.anthropic": ("ANTHROPIC_API_KEY",),
    "pydantic_ai.models.google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
_asking: ModuleType | None = None


class AgentRunner(Runner):
    """Sends the prompt and the input to a model, and lets it call tools."""

    async def run(
        self,
        role: RoleSpec,
        input: Any,  # noqa: A002  (the contract's own word)
        attempt: Attempt,
    ) -> Result:
        """
        Ask until there is an answer; a failure of the provider is never waited out.

        Raises Parked, when the attempt has a host, if something has to be waited for.
        """
        instructions = render_prompt(role.base_prompt, {"input": input})
        settings, host = _settings(role), attempt.host or Alone(role)
        if role.tools and attempt.host is None:
            attempt.logger.warning("Without an engine the role has none of its tools.")
        asking = await _library()
        work = asking.Work(
            role=role,
            settings=settings,
            instructions=instructions,
            message=NO_INPUT if input is None or input == "" else as_text(input),
        )
        try:
            async with asyncio.timeout_at(_end(attempt)) as limit:
                result: Result = await asking.ask(work, attempt, host)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _too_slow() from None
        except Parked as parked:
            if attempt.host is None:
                raise failure_of(parked) from parked
            raise
        return result

    def pool(self, role: RoleSpec) -> Pool:
        return "io"

    def problems(self, role: RoleSpec) -> list[tuple[str, str]]:
        return [
            *prompt_problems(role.base_prompt, "/base_prompt"),
            *setting_problems(role.config),
            *constraint_problems(role.model_constraints, "/model_constraints"),
        ]


def _settings(role: RoleSpec) -> AgentSettings:
    try:
        return settings_of(role.config)
    except ValidationError:
        place, sentence = setting_problems(role.config)[0]
        raise RunnerError(
            f"This agent cannot be run: {place}: {sentence}",
            type="agent_misconfigured",
            retryable=False,
        ) from None


def _end(attempt: Attempt) -> float:
    """Return the deadline by the event loop's clock, as `course` has it."""
    return asyncio.get_running_loop().time() + seconds_left(attempt)


def _too_slow() -> RunnerError:
    return RunnerError(
        "The agent gave no answer before the attempt's deadline.",
        type="model_timeout",
        retryable=True,
    )


def preload() -> None:
    """Import the library, and the clients of which there are keys; make no model."""
    import_module(_ASKING)
    for name, keys in _CLIENTS.items():
        if any(os.environ.get(key) for key in keys):
            import_module(name)


async def _library() -> ModuleType:
    """Import the library without holding up the event loop: it takes seconds."""
    global _asking
    if _asking is None:
        # Not by a look into `sys.modules`: half of a module may stand there.
        _asking = await asyncio.to_thread(import_module, _ASKING)
    return _asking
