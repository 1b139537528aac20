"""The API of orchestrations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from core_orchestration import drafts
from core_orchestration.filters import OrchestrationFilter
from core_orchestration.models import Orchestration
from core_orchestration.serializers import (
    OrchestrationSerializer,
    OrchestrationSummarySerializer,
    VerdictSerializer,
)
from roles.replicas import ListedFromReplica
from roles.rest.pages import ByName
from roles.rest.preconditions import etag_of
from roles.rest.resources import DocumentResource
from roles.rest.schema import ETAG, IF_MATCH


@extend_schema(tags=["orchestrations"])
@extend_schema_view(
    list=extend_schema(summary="List orchestrations"),
    retrieve=extend_schema(summary="Read an orchestration", parameters=[ETAG]),
    create=extend_schema(summary="Make and publish an orchestration"),
    update=extend_schema(
        summary="Replace and publish an orchestration", parameters=[IF_MATCH]
    ),
    partial_update=extend_schema(
        summary="Change and publish an orchestration", parameters=[IF_MATCH]
    ),
    destroy=extend_schema(
        summary="Archive an orchestration; its executions stay", parameters=[IF_MATCH]
    ),
)
class OrchestrationViewSet(ListedFromReplica, DocumentResource):
    """Named workflows; saving one publishes a version that new executions run."""

    queryset = Orchestration.objects.filter(archived_at=None)
    serializer_class = OrchestrationSerializer
    pagination_class = ByName
    filterset_class = OrchestrationFilter

    def get_queryset(self) -> Any:
        rows = super().get_queryset().select_related("published")
        return rows.defer("published__definition")

    def get_serializer_class(self) -> Any:
        if self.action == "list":
            return OrchestrationSummarySerializer
        return OrchestrationSerializer

    def etag(self, instance: Orchestration) -> str:
        return etag_of(
            instance.pk, instance.updated_at.isoformat(), instance.published_id
        )

    def save_document(
        self, document: Any, instance: Orchestration | None
    ) -> Orchestration:
        return drafts.save(document, by=self.caller, orchestration=instance)

    def patch_document(self, instance: Orchestration, changes: Any) -> Orchestration:
        return drafts.patch(instance, changes, by=self.caller)

    def remove_document(self, instance: Orchestration) -> None:
        drafts.archive(instance, timezone.now())

    @extend_schema(
        summary="List all problems of a definition; nothing is saved or run",
        request=OrchestrationSerializer,
        responses=VerdictSerializer,
    )
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def validate(self, request: Request) -> Response:
        problems = drafts.problems_of(request.data, by=self.caller)
        return Response(
            {"valid": not problems, "problems": [asdict(each) for each in problems]}
        )
