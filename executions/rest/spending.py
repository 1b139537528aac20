"""The API of what is spent, and of the budgets that limit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_filters import rest_framework as filters
from django_filters.utils import translate_validation
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from executions.models import Budget, Execution, Spending
from executions.models.spending import SCOPES
from executions.rest.spending_serializers import (
    BudgetSerializer,
    ExecutionUsageSerializer,
    UsageReportSerializer,
)
from executions.spending import balances, documents, reports
from executions.spending.usage import Usage, together
from roles.rest.filters import MomentFilter, TruthFilter, WordsFilter
from roles.rest.resources import DocumentResource, Resource
from roles.rest.schema import ETAG, IF_MATCH

if TYPE_CHECKING:
    from django.db.models import QuerySet


class UsageFilter(filters.FilterSet):
    """Which rows of the ledger to sum up, and how."""

    group_by = WordsFilter(
        method="as_it_is",
        known=tuple(reports.DIMENSIONS),
        help_text="Any of these, in the order to sort by: repeat it or use commas.",
    )
    after = MomentFilter(field_name="at", lookup_expr="gte")
    before = MomentFilter(field_name="at", lookup_expr="lt")
    execution = filters.UUIDFilter(method="as_it_is")
    tree = TruthFilter(
        method="as_it_is", help_text="With `execution`: all executions below it, too."
    )
    role = filters.UUIDFilter(field_name="role_id")
    orchestration = filters.UUIDFilter(field_name="orchestration_id")
    api_key = filters.UUIDFilter(field_name="api_key_id")
    model = filters.CharFilter(field_name="model")

    class Meta:
        model = Spending
        fields = ()

    def as_it_is(
        self, rows: QuerySet[Spending], name: str, value: Any
    ) -> QuerySet[Spending]:
        """Leave to the view what does not narrow by itself."""
        return rows

    def narrowed(self) -> QuerySet[Spending]:
        """Return the rows that fit; only for what is valid."""
        given, rows = self.form.cleaned_data, self.qs
        if execution := given["execution"]:
            ids = reports.tree_of(execution) if given["tree"] else [execution]
            rows = rows.filter(execution_id__in=ids)
        return rows


@extend_schema(tags=["spending"])
class UsageView(Resource):
    """What the caller's executions spent; staff see everybody's."""

    queryset = Spending.objects.all()
    serializer_class = UsageReportSerializer
    filterset_class = UsageFilter
    pagination_class = None

    def get_queryset(self) -> Any:
        if self.caller.is_staff:
            return Spending.objects.all()
        return Spending.objects.filter(created_by_id=self.caller.pk)

    @extend_schema(
        summary="Sum up tokens, requests and cost",
        description="Of every call of a model, whatever became of its attempt. A day "
        "is one of UTC.",
        filters=True,
        responses=UsageReportSerializer,
        operation_id="usage_report",
    )
    def report(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        chosen = UsageFilter(request.query_params, queryset=self.get_queryset())
        if not chosen.is_valid():
            invalid: Any = translate_validation(chosen.errors)
            raise invalid
        rows, by = chosen.narrowed(), chosen.form.cleaned_data["group_by"]
        groups, truncated = reports.grouped(rows, by) if by else ([], False)
        body = {
            "total": reports.total(rows).shown(),
            "groups": [{**each, "usage": each["usage"].shown()} for each in groups],
            "truncated": truncated,
        }
        return Response(UsageReportSerializer(body).data)


@extend_schema(tags=["spending"])
class ExecutionUsageView(Resource):
    """What one execution spent."""

    queryset = Execution.objects.only("id")
    serializer_class = ExecutionUsageSerializer
    pagination_class = None

    @extend_schema(
        summary="Sum up what an execution spent, by steps and attempts",
        responses=ExecutionUsageSerializer,
        operation_id="execution_usage",
    )
    def usage(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution_id: UUID = self.get_object().pk
        steps = reports.of_steps(execution_id).values()
        tree = reports.of_executions(reports.tree_of(execution_id))
        body = {
            "own": tree.get(execution_id, Usage()).shown(),
            "tree": together(tree.values()).shown(),
            "steps": [_step(each) for each in steps],
            "executions": [
                {"execution_id": each, "usage": usage.shown()}
                for each, usage in tree.items()
            ],
        }
        return Response(ExecutionUsageSerializer(body).data)


def _step(step: reports.StepSpending) -> dict[str, Any]:
    return {
        "step_run_id": step.step_run_id,
        "path": step.path,
        "role_name": step.role_name,
        "usage": step.usage.shown(),
        "attempts": [
            {"attempt": number, "usage": usage.shown()}
            for number, usage in step.attempts.items()
        ],
    }


class BudgetFilter(filters.FilterSet):
    scope = WordsFilter(method="of_scope", known=SCOPES)
    scope_id = filters.UUIDFilter()
    is_active = TruthFilter()

    class Meta:
        model = Budget
        fields = ()

    def of_scope(
        self, rows: QuerySet[Budget], name: str, value: list[str]
    ) -> QuerySet[Budget]:
        return rows.filter(scope__in=value) if value else rows


@extend_schema(tags=["spending"])
@extend_schema_view(
    list=extend_schema(summary="List budgets, newest first"),
    retrieve=extend_schema(summary="Read a budget", parameters=[ETAG]),
    create=extend_schema(
        summary="Make a budget",
        description="For a role, an orchestration or an execution that the caller may "
        "change, or for an API key of theirs.",
    ),
    update=extend_schema(
        summary="Replace a budget",
        description="What waits for it is looked at again at once.",
        parameters=[IF_MATCH],
    ),
    partial_update=extend_schema(
        summary="Change a budget",
        description="What waits for it is looked at again at once.",
        parameters=[IF_MATCH],
    ),
    destroy=extend_schema(summary="Take a budget away", parameters=[IF_MATCH]),
)
class BudgetViewSet(DocumentResource):
    """What may be spent: by roles, orchestrations, executions and API keys."""

    queryset = Budget.objects.all()
    serializer_class = BudgetSerializer
    filterset_class = BudgetFilter

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Have the accounts of all that is shown at hand."""
        shown = args[0] if args else None
        many = shown if kwargs.get("many") else [shown]
        budgets = [each for each in many or () if isinstance(each, Budget)]
        accounts = balances.of(budgets) if budgets else {}
        kwargs["context"] = {**self.get_serializer_context(), "accounts": accounts}
        return BudgetSerializer(*args, **kwargs)

    def save_document(self, document: Any, instance: Budget | None) -> Budget:
        return documents.save(document, by=self.caller, budget=instance)

    def patch_document(self, instance: Budget, changes: Any) -> Budget:
        return documents.patch(instance, changes, by=self.caller)

    def remove_document(self, instance: Budget) -> None:
        documents.remove(instance)
