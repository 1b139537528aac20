"""The API of workers: who is there, how busy they are, and what they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import (
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from executions import fleet
from executions.models import Execution, Worker
from roles.rest.resources import Resource


class RunningSerializer(serializers.Serializer[Any]):
    """A step that a worker runs, of an execution that the caller may see."""

    execution_id = serializers.UUIDField()
    step_key = serializers.CharField()
    path = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)


class WorkerSerializer(serializers.Serializer[Any]):
    """A worker process; what it said of itself is from its last heartbeat."""

    id = serializers.UUIDField()
    host = serializers.CharField()
    pid = serializers.IntegerField()
    queues = serializers.ListField(child=serializers.CharField())
    slots = serializers.IntegerField(help_text="How many steps it can run at a time.")
    busy = serializers.IntegerField(help_text="How many steps it runs, of anybody's.")
    started_at = serializers.DateTimeField()
    last_heartbeat_at = serializers.DateTimeField()
    lease_until = serializers.DateTimeField(
        help_text="Without another heartbeat its steps are freed then."
    )
    alive = serializers.BooleanField()
    running = serializers.SerializerMethodField(
        help_text="The caller's executions only, oldest first, and at most "
        f"{fleet.MOST_SHOWN} of all workers together.",
    )

    @extend_schema_field(RunningSerializer(many=True))
    def get_running(self, worker: Worker) -> list[dict[str, Any]]:
        running: Mapping[UUID, list[fleet.Running]] = self.context["running"]
        return [asdict(each) for each in running.get(worker.pk, ())]


@extend_schema(tags=["workers"])
@extend_schema_view(list=extend_schema(summary="List workers, newest first"))
class WorkerViewSet(ListModelMixin, Resource):
    """The processes that work, and those that did until a moment ago."""

    queryset = Worker.objects.all()
    serializer_class = WorkerSerializer
    filterset_class = None

    def get_queryset(self) -> Any:
        """Return all: that a worker is there is nobody's secret."""
        return fleet.workers()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        visible = Execution.objects.active().visible_to(self.caller)
        running = fleet.running([each.pk for each in page], of=visible)
        context = {**self.get_serializer_context(), "running": running}
        shown = WorkerSerializer(page, many=True, context=context)
        return self.get_paginated_response(shown.data)
