"""How orchestrations look from outside; what may come in is `drafts`' to judge."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from core_orchestration.models import Orchestration
from core_orchestration.rows import lists_of
from core_orchestration.samples import LOOP, PATTERN, TWO_STEPS, WAITING
from roles.rest.schema import ProblemDetailSerializer
from roles.serializers.roles import ProvenanceSerializer

_CONFIG = """
What the step type has to know; free for types that a role does.

- `loop`: `max_iterations` (required), one of the conditions `while` and `until` or a
  `count` (a number, or a template that gives one), `on_limit` (`fail`, `continue`),
  `collect` (`last`, `all`)
- `map`: `items` (required; a list, or a template that gives one), `max_parallel`,
  `item_errors` (`fail`, `continue`, `drop`), `stop_after`
- `branch`: `cases` (`[{"branch", "condition"}]`), `else`, `mode` (`first`, `all`); or
  `weights` (`{branch: number}`) and `sticky` (a template)
- `parallel` with `steps`: `join` (`all`, `any`, `n_of_m`), `n`, `max_parallel`
- `stop`: `status` (`completed`, `failed`), `message` or `output` (templates)
- `wait`: `duration_ms` (a number or a template), `until` (an ISO 8601 time or a
  template) or `event` (a name); with `event` also `match` (a condition that reads
  `event.payload` and `event.name`), `since` (`execution`, `wait`), `timeout_ms`,
  `on_timeout` (`fail`, `continue`)
- `approval`: `prompt` (a template), `form` (a JSON Schema), `users`, `groups`,
  `permission` (`app.codename`), `on_reject` (`fail`, `continue`), `timeout_ms`,
  `on_timeout` (`approve`, `reject`, `fail`, `escalate`), `escalate_to`,
  `remind_every_ms`
- `orchestration`: `orchestration_name` or `orchestration_id`, `version`, `wait`

Reasoning patterns name roles here, each as its name, `{"role_id"}` or `{"role_name"}`:

- `planner_executor_reviewer`: `planner`, `executor`, `reviewer`, `accept` (required; a
  condition on `output`, the reviewer's), `max_revisions`, `on_limit` (`fail`,
  `continue`)
- `map_reduce`: `items` (required), `mapper`, `reducer`, `max_parallel`, `item_errors`
- `tree_of_thoughts`: `generator`, `scorer`, `breadth`, `depth`, `beam`, `threshold`
- `debate`: `creator`, `critic`, `threshold`, `max_rounds`, `score` (a field), `judge`
- `vote`: `voter`, `samples`, `field`, `quorum`, `tie_break` (`first`, `fail`, `role`),
  `tie_breaker`
""".strip()


@extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Step"}})
class BodyField(serializers.ListField):
    """Nested steps, for the types that hold a body."""


class CompensationSerializer(serializers.Serializer[Any]):
    """What undoes a step: a role, and its input."""

    role_id = serializers.UUIDField(required=False, allow_null=True)
    role_name = serializers.CharField(required=False, allow_null=True)
    input_mapping = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text="Reads the context and `output`, the step's own; null: that output.",
    )


class LimitsSerializer(serializers.Serializer[Any]):
    """What one execution may come to; left out, as much as the installation allows."""

    max_steps = serializers.IntegerField(
        required=False, help_text="Steps run in all, each turn and item counted."
    )
    max_fan_out = serializers.IntegerField(
        required=False, help_text="Items or branches of one step."
    )
    max_depth = serializers.IntegerField(
        required=False, help_text="Executions that stand above one another."
    )
    max_iterations = serializers.IntegerField(
        required=False, help_text="Turns of one loop."
    )
    max_context_bytes = serializers.IntegerField(
        required=False, help_text="The size of all that templates can read."
    )


class StepSerializer(serializers.Serializer[Any]):
    """One unit of an orchestration; its output is `context.<key>`."""

    key = serializers.CharField(
        required=False, help_text="Unique; by default the name's slug."
    )
    name = serializers.CharField()
    description = serializers.CharField(required=False)
    order = serializers.IntegerField(
        required=False, help_text="Steps run in ascending order; default: position."
    )
    step_type = serializers.CharField(
        default="sequential",
        help_text="`sequential` and `conditional`: a role does it. `parallel`: a role "
        "does it, beside the others of its `parallel_group`; with `steps` it runs them "
        "as branches at the same time. `loop`, `map`: run their `steps` again and "
        "again, or once per item. `branch`: runs the branches whose cases match. "
        "`break`: ends the loop that it stands in. `stop`: ends the execution. `wait`: "
        "waits for a time or an event. `approval`: asks people, and waits for the "
        "answer. `orchestration`: runs another one. `planner_executor_reviewer`, "
        "`map_reduce`, `tree_of_thoughts`, `debate`, `vote`: patterns of several roles, "
        "which their `config` names. Only where a role does it is there "
        "a `role_id` or `role_name`.",
    )
    role_id = serializers.UUIDField(required=False, allow_null=True)
    role_name = serializers.CharField(required=False, allow_null=True)
    parallel_group = serializers.CharField(required=False, allow_null=True)
    condition = serializers.DictField(required=False, allow_null=True)
    input_mapping = serializers.JSONField(required=False, allow_null=True)
    output_mapping = serializers.DictField(required=False, allow_null=True)
    max_retries = serializers.IntegerField(default=0)
    retry_delay_ms = serializers.IntegerField(default=1000)
    retry_backoff = serializers.FloatField(default=1.0)
    retry_max_delay_ms = serializers.IntegerField(default=600_000)
    retry_jitter = serializers.BooleanField(default=False)
    timeout_ms = serializers.IntegerField(
        default=300_000, help_text="The time that one attempt may take."
    )
    total_timeout_ms = serializers.IntegerField(
        default=None,
        allow_null=True,
        help_text="The time that all attempts together may take, from the start of "
        "the first, waits between them included; null: no limit.",
    )
    queue_timeout_ms = serializers.IntegerField(
        default=None,
        allow_null=True,
        help_text="How long the step may wait in a queue for a worker, from when it "
        "was its turn; null: no limit.",
    )
    at_most_once = serializers.BooleanField(
        default=False,
        help_text="After a crash the step is not run again by itself but stops in "
        "`needs_attention` until a person settles it.",
    )
    on_error = serializers.ChoiceField(choices=["fail", "continue"], default="fail")
    branch = serializers.CharField(
        required=False,
        allow_null=True,
        help_text="The branch of the `branch` or `parallel` step right around it that "
        "the step belongs to; null: one by itself, of the name of its key. Steps of one "
        "branch are neighbours and run in order.",
    )
    milestone = serializers.CharField(
        required=False,
        allow_null=True,
        help_text="The key of another step: this one runs only while that one has not "
        "begun, and is skipped otherwise.",
    )
    compensate = CompensationSerializer(
        required=False,
        allow_null=True,
        help_text="What undoes the step when a later one fails; for steps that a role "
        "or another orchestration does.",
    )
    config = serializers.DictField(required=False, help_text=_CONFIG)
    steps = BodyField(
        required=False,
        help_text="The body of a `loop`, `map`, `branch` or `parallel` step, up to 20 "
        "levels deep.",
    )


class OrchestrationSummarySerializer(serializers.ModelSerializer[Orchestration]):
    """An orchestration as lists show it: without its steps."""

    version = serializers.IntegerField(
        source="published.number",
        read_only=True,
        allow_null=True,
        help_text="The published version, which new executions run.",
    )
    expose_as_tool = serializers.BooleanField(
        required=False, help_text="Whether MCP clients may run it as a tool of its own."
    )
    input_schema = serializers.DictField(required=False, allow_null=True)
    timeout_ms = serializers.IntegerField(required=False, allow_null=True)
    output = serializers.JSONField(required=False, allow_null=True)
    limits = LimitsSerializer(required=False)
    provenance = ProvenanceSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Orchestration
        fields: ClassVar[Any] = (
            "id",
            "name",
            "description",
            "tags",
            "is_active",
            "expose_as_tool",
            "version",
            "input_schema",
            "timeout_ms",
            "output",
            "limits",
            "provenance",
            "created_at",
            "updated_at",
        )


@extend_schema_serializer(examples=[TWO_STEPS, LOOP, WAITING, PATTERN])
class OrchestrationSerializer(OrchestrationSummarySerializer):
    """An orchestration with its steps, nested and in order."""

    steps = StepSerializer(many=True)
    on_failure = StepSerializer(
        many=True,
        required=False,
        help_text="Steps that run, in order, when an execution fails or times out; "
        "they read `context.failure` and what had come to be.",
    )

    class Meta(OrchestrationSummarySerializer.Meta):
        fields: ClassVar[Any] = (
            *OrchestrationSummarySerializer.Meta.fields,
            "steps",
            "on_failure",
        )

    def to_representation(self, instance: Orchestration) -> dict[str, Any]:
        summary = OrchestrationSummarySerializer(instance).data
        return {**summary, **lists_of(instance)}


class VerdictSerializer(serializers.Serializer[Any]):
    """Everything that is wrong with a definition."""

    valid = serializers.BooleanField()
    problems = ProblemDetailSerializer(many=True)
