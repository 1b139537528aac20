"""Steps that hold a body, and scenes in which they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from executions.bodies import EndedFrame
from executions.plan.compiled import CompiledStep
from tests.unit.executions.plans import ADDRESS, plan_of, step

WHEN = {"field": "context.input.x", "operator": "exists"}


def holding(
    step_type: str, *steps: dict[str, Any], config: Any = None, **fields: Any
) -> CompiledStep:
    """Compile a step of a type, which holds these steps, or a single one."""
    written = {
        "key": "holder",
        "step_type": step_type,
        "config": config or {},
        "steps": list(steps) or [step("inside")],
        **fields,
    }
    return plan_of(written).steps[0].compiled


@dataclass
class Script:
    """
    A scene in which everything is said beforehand.

    What a template or a condition gives that is an exception is raised. Conditions
    answer in turn, and the last answer stays.
    """

    rendered: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    begins_with: Any = None
    completed_runs: Sequence[tuple[str, Any]] = ()
    execution_id: str = ADDRESS.execution
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def render(self, name: str) -> Any:
        return _said(self.rendered[name])

    def beginning(self) -> Any:
        return _said(self.begins_with)

    def holds(self, name: str, values: Mapping[str, Any] | None = None) -> bool:
        before = [each for each in self.asked if each[0] == name]
        self.asked.append((name, values))
        answers = self.answers[name]
        return bool(_said(answers[min(len(before), len(answers) - 1)]))

    def holds_inside(self, frame: str, name: str) -> bool:
        return self.holds(name, {"frame": frame})

    def done(self, keys: Sequence[str]) -> Sequence[tuple[str, Any]]:
        self.asked.append(("done", tuple(keys)))
        return self.completed_runs


def _said(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


def completed(number: int, output: Any = None, **fields: Any) -> EndedFrame:
    name = fields.pop("name", str(number))
    return EndedFrame(name=name, number=number, completed=True, output=output, **fields)


def failed(number: int, message: str = "no", **fields: Any) -> EndedFrame:
    name = fields.pop("name", str(number))
    error = {"type": "bad", "message": message}
    return EndedFrame(name=name, number=number, completed=False, error=error, **fields)
