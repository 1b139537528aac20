"""Requests that make executions: the key that repeats none, and the 202 they get."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import record
from executions.copies import NotCopyable
from executions.launch import IdempotencyConflict, InvalidInput, NotRunnable
from executions.models import Execution
from executions.rest.serializers import ExecutionSerializer
from roles.rest.problems import ApiProblem, answer_with

if TYPE_CHECKING:
    from django.contrib.auth.models import User

answer_with(InvalidInput, status=400, code="invalid")
answer_with(NotRunnable, status=409, code="not_runnable")
answer_with(NotCopyable, status=409, code="not_copyable")
answer_with(IdempotencyConflict, status=409, code="idempotency_key_reused")

MAX_KEY = 255


class BadIdempotencyKey(ApiProblem):
    """The Idempotency-Key header cannot be used."""

    status_code = 400
    default_code = "bad_idempotency_key"
    default_detail = f"An Idempotency-Key has 1 to {MAX_KEY} printable characters."


def makes_execution(summary: str, request: Any, **more: Any) -> Callable[..., Any]:
    """Describe a view that makes an execution."""
    return extend_schema(
        summary=summary,
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Repeating a request with its key starts nothing new.",
            ),
            OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[202]),
        ],
        request=request,
        responses={
            202: OpenApiResponse(ExecutionSerializer, "It is recorded and will run.")
        },
        **more,
    )


def key_of(request: Request) -> str | None:
    """Return the request's Idempotency-Key, if it has one."""
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise BadIdempotencyKey
    return key


def accepted(request: Request, execution: Execution) -> Response:
    """Answer with an execution that was made, or had been by the same request."""
    if execution.created_by_id == request.user.pk:
        execution.created_by = cast("User | None", request.user)
    place = reverse("execution-detail", args=[execution.pk])
    headers = {"Location": request.build_absolute_uri(place)}
    if execution.is_replay:
        headers["Idempotent-Replayed"] = "true"
    # What began just now, and copies nothing, has no step run yet.
    runs = None if execution.is_replay or execution.origin else ()
    return Response(record.detail(execution, runs), status=202, headers=headers)
