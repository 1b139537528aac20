"""How executions look from outside; `record` gathers what these describe."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from executions import record
from executions.bulk import VERBS
from executions.models import Execution
from executions.states import ExecutionStatus, StepStatus
from executions.waiting import Kind


class ErrorSerializer(serializers.Serializer[Any]):
    """Why an execution or a step failed."""

    step_key = serializers.CharField(allow_null=True)
    type = serializers.CharField()
    message = serializers.CharField()
    attempt = serializers.IntegerField(allow_null=True)


class WaitingOnSerializer(serializers.Serializer[Any]):
    """Why something does not move, and what would help; null once it is over."""

    kind = serializers.ChoiceField(choices=[each.value for each in Kind])
    step_key = serializers.CharField(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)
    expected = serializers.DateTimeField(
        allow_null=True, help_text="When it ends by itself at the latest, if it does."
    )
    detail = serializers.CharField(help_text="What is waited for, in words.")
    help = serializers.CharField(
        allow_null=True, help_text="What somebody can do; null where nobody needs to."
    )


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
    model_choice = serializers.CharField(
        allow_null=True, help_text="Why this model: see `model-choices/`."
    )
    calls = serializers.ListField(
        child=serializers.DictField(),
        help_text="An agent's tool calls and programs; long values are cut, and stand "
        "as a whole in `transcript/`.",
    )
    compensation = serializers.CharField(
        allow_null=True, help_text="The status of what undid it; null unless it was."
    )
    waiting_on = WaitingOnSerializer(allow_null=True)
    approval_id = serializers.UUIDField(
        allow_null=True, help_text="What the step asks, while that is open."
    )


class OriginSerializer(serializers.Serializer[Any]):
    """
    What a copy was made from, a fork also by its step; or which agent started it.

    An agent is named by the execution and the step that it worked in, and by its role.
    """

    kind = serializers.ChoiceField(choices=["fork", "rerun", "agent"])
    execution_id = serializers.UUIDField()
    from_step = serializers.CharField(allow_null=True)
    step_path = serializers.CharField(required=False)
    role_name = serializers.CharField(required=False)


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
    origin = OriginSerializer(allow_null=True)

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
    waiting_on = WaitingOnSerializer(allow_null=True)

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


class ReasonSerializer(serializers.Serializer[Any]):
    """Why somebody steers an execution; it is recorded with their name."""

    reason = serializers.CharField(required=False, max_length=1000)


class RerunSerializer(serializers.Serializer[Any]):
    """What a copy is to do otherwise: both stay as they were unless given."""

    input = serializers.DictField(required=False)
    version = serializers.IntegerField(
        required=False, help_text="The number of a version of the orchestration."
    )


class ForkSerializer(RerunSerializer):
    """Where a copy begins; the steps before are taken over with their outputs."""

    from_step = serializers.CharField(help_text="A step's key.")


class SettleSerializer(serializers.Serializer[Any]):
    """What is to become of a step that waits for somebody's decision."""

    path = serializers.CharField(help_text="The step's path, as in `step_logs`.")
    action = serializers.ChoiceField(choices=["complete", "fail", "run_again"])
    output = serializers.JSONField(
        required=False, allow_null=True, help_text="With `complete`: the step's output."
    )
    reason = serializers.CharField(required=False, max_length=1000)


class CriteriaSerializer(serializers.Serializer[Any]):
    """The list's filters; at least one."""

    status = serializers.ListField(
        child=serializers.ChoiceField(choices=[each.value for each in ExecutionStatus]),
        required=False,
        help_text="Any of these; a text with commas is as good.",
    )
    orchestration = serializers.CharField(
        required=False, help_text="The id or the exact name."
    )
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    search = serializers.CharField(
        required=False,
        help_text="Part of the orchestration's name, or how the id begins.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "All that failed in an hour",
            value={
                "action": "retry",
                "filter": {
                    "status": ["failed"],
                    "created_after": "2026-01-01T12:00:00Z",
                    "created_before": "2026-01-01T13:00:00Z",
                },
                "reason": "the mail server is back",
            },
        )
    ]
)
class BulkSerializer(serializers.Serializer[Any]):
    """What to do with which executions: give either `ids` or `filter`."""

    action = serializers.ChoiceField(choices=VERBS)
    ids = serializers.ListField(child=serializers.UUIDField(), required=False)
    filter = CriteriaSerializer(required=False)
    reason = serializers.CharField(required=False, max_length=1000)
    dry_run = serializers.BooleanField(
        required=False, help_text="Only count what matches."
    )


class RefusalSerializer(serializers.Serializer[Any]):
    """Why an execution was left as it is."""

    id = serializers.UUIDField()
    code = serializers.CharField()
    detail = serializers.CharField()


class BulkReportSerializer(serializers.Serializer[Any]):
    """What came of a request that steers many."""

    matched = serializers.IntegerField(
        help_text="Executions that were meant and that the caller may steer."
    )
    done = serializers.IntegerField()
    unchanged = serializers.IntegerField(help_text="It was so already.")
    refused = RefusalSerializer(
        many=True, help_text="The first hundred, ids that are not there included."
    )
    remaining = serializers.IntegerField(
        help_text="How many matched beyond what one request does."
    )
