"""The API of executions: start, look at, steer."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.utils import translate_validation
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from core_orchestration.models import Orchestration
from executions.launch import launch
from executions.listing import kinds_for
from executions.models import Execution
from executions.rest.accepted import accepted, key_of, makes_execution
from executions.rest.bulk import BulkActions
from executions.rest.filters import ExecutionFilter
from executions.rest.serializers import (
    ExecuteSerializer,
    ExecutionSerializer,
    ExecutionSummarySerializer,
)
from executions.rest.signals import SignalActions
from roles.replicas import ListedFromReplica
from roles.rest.bodies import fields_of
from roles.rest.resources import Resource


@extend_schema(tags=["executions"])
@extend_schema_view(list=extend_schema(summary="List executions, newest first"))
class ExecutionViewSet(ListedFromReplica, ListModelMixin, SignalActions, BulkActions):
    """Runs of orchestrations, each pinned to the version that it started with."""

    queryset = Execution.objects.all()
    serializer_class = ExecutionSummarySerializer
    filterset_class = ExecutionFilter

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        rows = rows.select_related("orchestration", "version", "created_by")
        return rows.defer("version__definition") if self.detail else _light(rows)

    def filter_queryset(self, queryset: Any) -> Any:
        """Narrow the list, in a form that is read in order."""
        if self.action != "list":
            return super().filter_queryset(queryset)
        chosen = ExecutionFilter(self.request.query_params, queryset=queryset)
        if not chosen.is_valid():
            invalid: Any = translate_validation(chosen.errors)
            raise invalid
        return chosen.listing(kinds_for(self.caller))

    @extend_schema(summary="Read an execution", responses=ExecutionSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(ExecutionSerializer(self.get_object()).data)


@extend_schema(tags=["executions"])
class ExecuteView(Resource):
    """Starts an orchestration's published version."""

    queryset = (
        Orchestration.objects.filter(archived_at=None)
        .select_related("published")
        .only("name", "is_active", "archived_at", "created_by", "published__number")
    )
    serializer_class = ExecuteSerializer
    pagination_class = None

    @makes_execution("Start an execution", ExecuteSerializer)
    def execute(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        orchestration = self.get_object()
        given = fields_of(request.data, {"input": dict}).get("input", {})
        execution = launch(
            orchestration, given, by=self.caller, idempotency_key=key_of(request)
        )
        if execution.version_id == orchestration.published_id:
            execution.version = orchestration.published  # known: it is not asked for
        return accepted(request, execution)


def _light(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """Leave the large columns in the database."""
    return rows.only(
        "status",
        "error",
        "created_at",
        "started_at",
        "finished_at",
        "origin",
        "parent_execution_id",
        "orchestration__name",
        "version__number",
        "created_by__username",
    )
