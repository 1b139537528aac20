"""The API of what agents said and did: messages, tool calls and programs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from executions.models import Exchange, Execution
from executions.spending import exchanges
from roles.rest.pages import LatestFirst
from roles.rest.resources import Resource


class OldestFirst(LatestFirst):
    """A conversation is read from its beginning."""

    ordering: Any = ("id",)


class ExchangeSerializer(serializers.ModelSerializer[Exchange]):
    """One turn of an agent's step."""

    kind = serializers.ChoiceField(choices=["messages", "tool", "code"])
    data = serializers.JSONField(  # type: ignore[assignment]
        help_text="A list of messages, as pydantic-ai writes them; or of a call: tool, "
        "arguments, outcome (done, refused or failed), result, duration_ms; or of a "
        "program: program, output, result, error, calls, duration_ms."
    )

    class Meta:
        model = Exchange
        fields = ("id", "path", "attempt", "kind", "call_id", "data", "created_at")


@extend_schema(tags=["executions"])
class TranscriptView(Resource):
    """The conversation of an execution's agents."""

    queryset = Execution.objects.only("id")
    serializer_class = ExchangeSerializer
    pagination_class = OldestFirst

    @extend_schema(
        summary="Read what agents said and did",
        parameters=[
            OpenApiParameter("path", OpenApiTypes.STR, description="Of one step only.")
        ],
        responses=ExchangeSerializer(many=True),
        operation_id="execution_transcript",
    )
    def transcript(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution = get_object_or_404(self.get_queryset(), pk=kwargs["pk"])
        path = request.query_params.get("path") or None
        rows = exchanges.transcript(execution.pk, path)
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
