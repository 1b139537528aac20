"""The API of the audit log: who did what, to what, and when."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin

from roles.audit.visibility import visible_to
from roles.filters import AuditFilter
from roles.models import AuditEntry
from roles.replicas import ListedFromReplica
from roles.rest.pages import LatestFirst
from roles.rest.resources import Resource
from roles.serializers.audit import AuditEntrySerializer


@extend_schema(tags=["audit"])
@extend_schema_view(
    list=extend_schema(
        summary="List what was done, newest first",
        description="Staff read everything; others what they did themselves, and what "
        "steps of executions did that they may see.",
    ),
    retrieve=extend_schema(summary="Read an entry"),
)
class AuditViewSet(ListedFromReplica, ListModelMixin, RetrieveModelMixin, Resource):
    """Entries, which are written once and never changed."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    pagination_class = LatestFirst
    filterset_class = AuditFilter
    lookup_value_converter = "int"

    def get_queryset(self) -> Any:
        return visible_to(self.caller)
