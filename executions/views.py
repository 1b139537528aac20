"""The API of executions: start, look at, cancel."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from core_orchestration.models import Orchestration
from executions import control
from executions.filters import ExecutionFilter
from executions.launch import IdempotencyConflict, InvalidInput, NotRunnable, launch
from executions.models import Execution
from executions.serializers import (
    CancelSerializer,
    ExecuteSerializer,
    ExecutionSerializer,
    ExecutionSummarySerializer,
)
from executions.states import ExecutionStatus
from roles.rest.bodies import fields_of
from roles.rest.problems import ApiProblem, answer_with
from roles.rest.resources import Resource

answer_with(InvalidInput, status=400, code="invalid")
answer_with(NotRunnable, status=409, code="not_runnable")
answer_with(IdempotencyConflict, status=409, code="idempotency_key_reused")

MAX_KEY = 255


class BadIdempotencyKey(ApiProblem):
    """The Idempotency-Key header cannot be used."""

    status_code = 400
    default_code = "bad_idempotency_key"
    default_detail = f"An Idempotency-Key has 1 to {MAX_KEY} printable characters."


class AlreadyFinished(ApiProblem):
    """The execution ended by itself before it could be cancelled."""

    status_code = 409
    default_code = "already_finished"


@extend_schema(tags=["executions"])
@extend_schema_view(list=extend_schema(summary="List executions, newest first"))
class ExecutionViewSet(ListModelMixin, Resource):
    """Runs of orchestrations, each pinned to the version that it started with."""

    queryset = Execution.objects.all()
    serializer_class = ExecutionSummarySerializer
    filterset_class = ExecutionFilter

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        rows = rows.select_related("orchestration", "version", "created_by")
        return rows.defer("version__definition") if self.detail else _light(rows)

    @extend_schema(summary="Read an execution", responses=ExecutionSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(ExecutionSerializer(self.get_object()).data)

    @extend_schema(
        summary="End an execution now",
        request=CancelSerializer,
        responses=ExecutionSerializer,
    )
    @action(detail=True, methods=["post"], filterset_class=None)
    def cancel(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution = self.get_object()
        mine = self.get_queryset().editable_by(self.caller)
        if not mine.filter(pk=execution.pk).exists():
            raise PermissionDenied
        reason = fields_of(request.data, {"reason": str}).get("reason")
        control.cancel(execution.pk, by=self.caller.get_username(), reason=reason)
        execution.refresh_from_db()
        if execution.status != ExecutionStatus.CANCELLED:
            raise AlreadyFinished(f"The execution is {execution.status} already.")
        return Response(ExecutionSerializer(execution).data)


@extend_schema(tags=["executions"])
class ExecuteView(Resource):
    """Starts an orchestration's published version."""

    queryset = Orchestration.objects.filter(archived_at=None)
    serializer_class = ExecuteSerializer
    pagination_class = None

    @extend_schema(
        summary="Start an execution",
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Repeating a request with its key starts nothing new.",
            ),
            OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[202]),
        ],
        request=ExecuteSerializer,
        responses={
            202: OpenApiResponse(ExecutionSerializer, "It is recorded and will run.")
        },
    )
    def execute(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        orchestration = self.get_object()
        given = fields_of(request.data, {"input": dict}).get("input", {})
        execution = launch(
            orchestration, given, by=self.caller, idempotency_key=_key(request)
        )
        place = reverse("execution-detail", args=[execution.pk])
        headers = {"Location": request.build_absolute_uri(place)}
        if execution.is_replay:
            headers["Idempotent-Replayed"] = "true"
        return Response(
            ExecutionSerializer(execution).data, status=202, headers=headers
        )


def _light(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """Leave the large columns in the database."""
    return rows.only(
        "status",
        "error",
        "created_at",
        "started_at",
        "finished_at",
        "parent_execution_id",
        "orchestration__name",
        "version__number",
        "created_by__username",
    )


def _key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise BadIdempotencyKey
    return key
