"""How the steps of a pattern are made: calls of roles, and what stands around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from core_orchestration.definition import RECKONING_TYPE, Step
from core_orchestration.keys import KEY_LENGTH

from .roles import Named, id_and_name

# The only branch of the step that holds a pattern's steps.
RUN = "run"
# What is said of a pattern's calls, each by itself, and not of the whole.
_OF_CALLS = frozenset(
    {
        "max_retries",
        "retry_delay_ms",
        "retry_backoff",
        "retry_max_delay_ms",
        "retry_jitter",
        "timeout_ms",
        "total_timeout_ms",
        "queue_timeout_ms",
        "at_most_once",
    }
)
_UNSAID: dict[str, Any] = {
    each.name: each.default for each in fields(Step) if each.name in _OF_CALLS
}


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the steps of one pattern; each is called by `what` it does there."""

    step: Step

    def key(self, what: str) -> str:
        ending = f"_{what}"
        return self.step.key[: KEY_LENGTH - len(ending)] + ending

    def read(self, what: str, path: str = "") -> str:
        """Write a template that reads what one of the steps came to."""
        return f"{{{{ context.{self.key(what)}{path} }}}}"

    def task(self) -> Step:
        """Make the step that keeps the task; the others read it there."""
        given = self.step.input_mapping
        return self.reckon("task", "value", "{{ output }}" if given is None else given)

    def call(self, what: str, role: Named, given: Any, **more: Any) -> Step:
        """Make a step that a role does."""
        role_id, role_name = id_and_name(role)
        said = {name: getattr(self.step, name) for name in _OF_CALLS}
        return self._made(
            what,
            role_id=role_id,
            role_name=role_name,
            input_mapping=given,
            **said,
            **more,
        )

    def reckon(self, what: str, function: str, arguments: Any, **more: Any) -> Step:
        """Make a step that works something out of what there is."""
        config = {"function": function, "arguments": arguments}
        return self._made(what, step_type=RECKONING_TYPE, config=config, **more)

    def holding(
        self, what: str, step_type: str, config: Mapping[str, Any], *steps: Step
    ) -> Step:
        """Make a loop or a map."""
        return self._made(what, step_type=step_type, config=config, steps=steps)

    def block(self, *steps: Step) -> Step:
        """Put steps into the pattern's place; what the last comes to is its output."""
        return replace(
            self.step,
            step_type="branch",
            config={"else": RUN},
            input_mapping=None,
            steps=tuple(replace(each, branch=RUN) for each in steps),
            **_UNSAID,
        )

    def _made(self, what: str, **more: Any) -> Step:
        name = f"{self.step.name}: {what}"
        return Step(key=self.key(what), name=name, **more)
