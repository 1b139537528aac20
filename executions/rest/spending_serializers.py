"""How usage and budgets look from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from executions.models import Budget


class UsageSerializer(serializers.Serializer[Any]):
    """What calls of models took together."""

    requests = serializers.IntegerField()
    tool_calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Among the input tokens.")
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField(help_text="Among the output tokens.")
    cost = serializers.CharField(
        allow_null=True,
        help_text="USD as decimal text, of the calls whose price is known; null if "
        "none is.",
    )
    unpriced_requests = serializers.IntegerField(
        help_text="Calls whose price is unknown: the cost is without them."
    )


class UsageGroupSerializer(serializers.Serializer[Any]):
    """A group has the fields of what it is grouped by, besides its usage."""

    day = serializers.DateField(required=False, help_text="By UTC.")
    role_id = serializers.UUIDField(required=False, allow_null=True)
    role_name = serializers.CharField(required=False)
    orchestration_id = serializers.UUIDField(required=False, allow_null=True)
    orchestration_name = serializers.CharField(required=False, allow_null=True)
    execution_id = serializers.UUIDField(required=False)
    api_key_id = serializers.UUIDField(required=False, allow_null=True)
    api_key_name = serializers.CharField(required=False, allow_null=True)
    user_id = serializers.IntegerField(
        required=False, allow_null=True, source="created_by_id"
    )
    user_name = serializers.CharField(required=False, allow_null=True)
    provider = serializers.CharField(
        required=False, help_text="`lost` for calls that nobody heard the end of."
    )
    model = serializers.CharField(required=False)
    usage = UsageSerializer()

    def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out what it is not grouped by; null is the group of what has none."""
        shown = super().to_representation(instance)
        fields: Any = self.fields
        return {
            name: value
            for name, value in shown.items()
            if fields[name].source in instance
        }


class UsageReportSerializer(serializers.Serializer[Any]):
    """What was spent, together and in groups."""

    total = UsageSerializer()
    groups = UsageGroupSerializer(many=True)
    truncated = serializers.BooleanField(
        help_text="There are more groups than are shown; narrow what is asked for."
    )


class AttemptUsageSerializer(serializers.Serializer[Any]):
    attempt = serializers.IntegerField()
    usage = UsageSerializer()


class StepUsageSerializer(serializers.Serializer[Any]):
    step_run_id = serializers.UUIDField()
    path = serializers.CharField()
    role_name = serializers.CharField()
    usage = UsageSerializer()
    attempts = AttemptUsageSerializer(many=True)


class BranchUsageSerializer(serializers.Serializer[Any]):
    execution_id = serializers.UUIDField()
    usage = UsageSerializer()


class ExecutionUsageSerializer(serializers.Serializer[Any]):
    """What an execution spent, lost attempts with it, and what all below it did."""

    own = UsageSerializer()
    tree = UsageSerializer(help_text="Its own and that of all executions below it.")
    steps = StepUsageSerializer(many=True)
    executions = BranchUsageSerializer(
        many=True, help_text="Those of the tree that spent something."
    )


class AmountsSerializer(serializers.Serializer[Any]):
    money = serializers.CharField(allow_null=True, help_text="USD as decimal text.")
    tokens = serializers.IntegerField(allow_null=True)
    requests = serializers.IntegerField(allow_null=True)


class AccountSerializer(serializers.Serializer[Any]):
    """What became of a budget: in a period and, if it is per execution, of one."""

    period_start = serializers.DateField(allow_null=True, help_text="By UTC.")
    execution_id = serializers.UUIDField(allow_null=True)
    spent = AmountsSerializer()
    reserved = AmountsSerializer(help_text="For calls under way, at most.")
    left = AmountsSerializer(help_text="Null where nothing is limited.")
    soft_told_at = serializers.DateTimeField(allow_null=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Ten dollars a day for a role",
            value={
                "scope": "role",
                "scope_id": "0197a6ba-0000-7000-8000-000000000000",
                "period": "day",
                "money": "10",
                "on_soft": "cheaper",
            },
            request_only=True,
        )
    ]
)
class BudgetSerializer(serializers.ModelSerializer[Budget]):
    accounts = serializers.SerializerMethodField(help_text="The newest.")

    class Meta:
        model = Budget
        fields: ClassVar[Any] = (
            "id",
            "scope",
            "scope_id",
            "period",
            "per_execution",
            "money",
            "tokens",
            "requests",
            "soft_percent",
            "on_soft",
            "on_hard",
            "is_active",
            "accounts",
            "created_at",
            "updated_at",
        )
        # The registry of budgets says what is wrong, of everything at once.
        validators: ClassVar[Any] = ()

    @extend_schema_field(AccountSerializer(many=True))
    def get_accounts(self, budget: Budget) -> list[dict[str, Any]]:
        known: Mapping[UUID, list[dict[str, Any]]] = self.context["accounts"]
        return known.get(budget.pk, [])
