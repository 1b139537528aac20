"""An orchestration's document as callers of tools are told how to write it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from roles.toolkit import Document, without_defaults

_STEPS = """
The steps, in the order in which they run. Each is an object:
- `name` (required), `key` (default: the name in small letters with underscores)
- `role_name`: the role that does it (it must exist), or `role_id`
- `input_mapping`: the step's input, JSON with templates; left out, it is the output of
  the step before (of the first step: the execution's input)
- `condition`: e.g. {"field": "output.score", "operator": ">", "value": 5}; if it is
  false the step is skipped
- `parallel_group`: neighbours with the same word run at the same time
- `max_retries`, `timeout_ms`, `on_error` ("fail" or "continue")
- `step_type`: default "sequential". Others: "loop" (`config` {"max_iterations": 5,
  "until": condition} and nested `steps`), "map" (`config` {"items": "{{ ... }}"} and
  nested `steps`, which read `{{ item }}`), "branch", "parallel", "wait", "approval",
  "orchestration" (`config` {"orchestration_name": "..."})
Templates: "{{ context.input.<field> }}" is the execution's input,
"{{ context.<step key> }}" the output of a step before, "{{ context.<key>.<field> }}" a
field of it, "{{ output }}" the previous output. An agent without an output_schema
returns text, which has no fields.
Example: [{"key": "plan", "name": "Plan", "role_name": "Planner", "input_mapping":
{"task": "{{ context.input.task }}"}}, {"key": "write", "name": "Write", "role_name":
"Writer", "input_mapping": {"task": "{{ context.input.task }}", "plan":
"{{ context.plan }}"}, "max_retries": 2}]
""".strip()


class Fields(Document):
    """What an orchestration's document holds besides its name."""

    description: str = Field("", description="What it is for.")
    tags: list[str] = Field(default_factory=list)
    input_schema: dict[str, Any] | None = Field(
        None, description="A JSON Schema (an object) that the input has to fit."
    )
    output: Any = Field(
        None,
        description="What an execution returns: JSON with templates, such as "
        '"{{ context.write }}". Left out: the outputs of all steps, by key.',
    )
    timeout_ms: int | None = Field(
        None, description="The time that an execution may take."
    )
    limits: dict[str, Any] = Field(
        default_factory=dict,
        description="What an execution may grow to: max_steps, max_fan_out, max_depth, "
        "max_iterations.",
    )
    on_failure: list[dict[str, Any]] = Field(
        default_factory=list, description="Steps that run when an execution fails."
    )
    is_active: bool = Field(True, description="Whether it can be executed.")
    expose_as_tool: bool = Field(
        False, description="Whether MCP clients see it as a tool of its own."
    )


class CreateOrchestration(Fields):
    """A new orchestration."""

    name: str = Field(description="Unique.")
    steps: list[dict[str, Any]] = Field(description=_STEPS)


class OrchestrationChanges(Fields):
    """The fields to replace; others stay as they are."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    name: str = Field("", description="A new name.")
    steps: list[dict[str, Any]] = Field(
        default_factory=list,
        description="All steps, as for system.create_orchestration.",
    )
