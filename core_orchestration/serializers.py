"""How orchestrations look from outside; what may come in is `drafts`' to judge."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from core_orchestration.models import Orchestration
from core_orchestration.rows import steps_of
from roles.rest.schema import ProblemDetailSerializer

_EXAMPLE = OpenApiExample(
    "Two steps",
    value={
        "name": "Greeting",
        "tags": ["demo"],
        "steps": [
            {
                "key": "draft",
                "name": "Draft",
                "role_name": "Writer",
                "input_mapping": {"text": "Hello {{ context.input.who }}!"},
            },
            {
                "key": "shout",
                "name": "Shout",
                "role_name": "Shouter",
                "condition": {"field": "output.text", "operator": "exists"},
                "max_retries": 2,
            },
        ],
    },
    request_only=True,
)


@extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Step"}})
class BodyField(serializers.ListField):
    """Nested steps, for the types that hold a body."""


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
        default="sequential", help_text="`sequential`, `parallel`, `conditional`, …"
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
    config = serializers.DictField(required=False)
    steps = BodyField(required=False)


class OrchestrationSummarySerializer(serializers.ModelSerializer[Orchestration]):
    """An orchestration as lists show it: without its steps."""

    version = serializers.IntegerField(
        source="published.number",
        read_only=True,
        allow_null=True,
        help_text="The published version, which new executions run.",
    )
    input_schema = serializers.DictField(required=False, allow_null=True)
    timeout_ms = serializers.IntegerField(required=False, allow_null=True)
    output = serializers.JSONField(required=False, allow_null=True)

    class Meta:
        model = Orchestration
        fields: ClassVar[Any] = (
            "id",
            "name",
            "description",
            "tags",
            "is_active",
            "version",
            "input_schema",
            "timeout_ms",
            "output",
            "created_at",
            "updated_at",
        )


@extend_schema_serializer(examples=[_EXAMPLE])
class OrchestrationSerializer(OrchestrationSummarySerializer):
    """An orchestration with its steps, nested and in order."""

    steps = StepSerializer(many=True)

    class Meta(OrchestrationSummarySerializer.Meta):
        fields: ClassVar[Any] = (*OrchestrationSummarySerializer.Meta.fields, "steps")

    def to_representation(self, instance: Orchestration) -> dict[str, Any]:
        summary = OrchestrationSummarySerializer(instance).data
        return {**summary, "steps": steps_of(instance)}


class VerdictSerializer(serializers.Serializer[Any]):
    """Everything that is wrong with a definition."""

    valid = serializers.BooleanField()
    problems = ProblemDetailSerializer(many=True)
