"""How executions look from outside; `record` gathers what these describe."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from executions import record
from executions.models import Execution
from executions.states import ExecutionStatus, StepStatus


class ErrorSerializer(serializers.Serializer[Any]):
    """Why an execution or a step failed."""

    step_key = serializers.CharField(allow_null=True)
    type = serializers.CharField()
    message = serializers.CharField()
    attempt = serializers.IntegerField(allow_null=True)


class StepLogSerializer(serializers.Serializer[Any]):
    """One step run of an execution."""

    id = serializers.UUIDField()
    step_key = serializers.CharField()
    step_name = serializers.CharField()
    path = serializers.CharField(help_text="Tells loop iterations and map items apart.")
    role_name = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=[each.value for each in StepStatus])
    attempt = serializers.IntegerField()
    input = serializers.JSONField(allow_null=True)
    output = serializers.JSONField(allow_null=True)
    error = ErrorSerializer(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    usage = serializers.DictField(allow_null=True)


class ExecutionSummarySerializer(serializers.Serializer[Execution]):
    """An execution as lists show it: without what went in and came out."""

    id = serializers.UUIDField()
    orchestration_id = serializers.UUIDField()
    orchestration_name = serializers.CharField()
    version = serializers.IntegerField()
    status = serializers.ChoiceField(choices=[each.value for each in ExecutionStatus])
    error = ErrorSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    created_by = serializers.CharField(allow_null=True, help_text="The username.")
    parent_execution_id = serializers.UUIDField(allow_null=True)

    def to_representation(self, instance: Execution) -> dict[str, Any]:
        return record.summary(instance)


class ExecutionSerializer(ExecutionSummarySerializer):
    """An execution with everything that is known of it."""

    input = serializers.DictField()
    context = serializers.DictField(  # type: ignore[assignment]
        help_text="The input, the output of each finished step, and the errors."
    )
    output = serializers.JSONField(allow_null=True)
    step_logs = StepLogSerializer(many=True)
    usage = serializers.DictField(help_text="What all steps together cost.")

    def to_representation(self, instance: Execution) -> dict[str, Any]:
        return record.detail(instance)


@extend_schema_serializer(
    examples=[
        OpenApiExample("A question", value={"input": {"user_query": "What is new?"}})
    ]
)
class ExecuteSerializer(serializers.Serializer[Any]):
    """What to run an orchestration with."""

    input = serializers.DictField(required=False)


class CancelSerializer(serializers.Serializer[Any]):
    """Why an execution is cancelled."""

    reason = serializers.CharField(required=False, max_length=1000)
