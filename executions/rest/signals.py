"""Events from outside: posted to everybody who waits for them, or to one execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from executions import signals
from executions.models import Signal
from executions.rest.accepted import key_of
from executions.rest.control import ControlActions
from executions.signals import Receipt
from roles.rest.bodies import fields_of
from roles.rest.resources import Resource

FIELDS: Mapping[str, type] = {"name": str, "payload": object}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A payment", value={"name": "order.paid", "payload": {"order": 17}}
        )
    ]
)
class EventSerializer(serializers.Serializer[Any]):
    """Something that happened outside, and that steps may wait for."""

    name = serializers.CharField(max_length=signals.LONGEST_NAME)
    payload = serializers.JSONField(
        required=False, allow_null=True, help_text="The output of who waits for it."
    )


class ReceiptSerializer(serializers.Serializer[Any]):
    """An event that is kept."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    delivered = serializers.IntegerField(
        help_text="How many executions have taken it so far. Where very many wait, "
        "the others follow; so do those that come to wait for it later."
    )


def _posts(summary: str, description: str) -> Callable[..., Any]:
    """Describe a view that takes an event."""
    return extend_schema(
        summary=summary,
        description=description,
        tags=["events"],
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Repeating a request with its key posts nothing new.",
            )
        ],
        request=EventSerializer,
        responses={202: ReceiptSerializer},
    )


class EventViewSet(Resource):
    """Events for all executions of the caller's."""

    queryset = Signal.objects.none()
    serializer_class = EventSerializer
    pagination_class = None

    def get_queryset(self) -> Any:
        """Return none: events are posted, and read by those who waited for them."""
        return Signal.objects.none()

    @_posts(
        "Post an event",
        "Each execution of the caller's that waits for it takes it, once; what staff "
        "posts is for everybody's executions. It is kept for those that come to wait.",
    )
    def post_event(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = _given(request)
        key = key_of(request)
        return _kept(signals.post(**given, by=self.caller, idempotency_key=key))


class SignalActions(ControlActions):
    """Events for one execution."""

    @_posts(
        "Post an event to one execution",
        "It takes the event once, whenever it comes to wait for it. One that has ended "
        "is answered with 409 and the `code` already_finished.",
    )
    @action(detail=True, methods=["post"], filterset_class=None)
    def signal(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution = self.steered()
        given, key = _given(request), key_of(request)
        receipt = signals.send(
            execution.pk, **given, by=self.caller, idempotency_key=key
        )
        return _kept(receipt)


def _given(request: Request) -> dict[str, Any]:
    return fields_of(request.data, FIELDS, required=["name"])


def _kept(receipt: Receipt) -> Response:
    body = asdict(receipt)
    headers = {"Idempotent-Replayed": "true"} if body.pop("is_replay") else None
    return Response(body, status=202, headers=headers)
