"""The API of roles."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view

from roles.filters import RoleFilter
from roles.models import Role
from roles.registry import RoleInUse, delete_role, patch_role, save_role
from roles.replicas import ListedFromReplica
from roles.rest.pages import ByName
from roles.rest.problems import answer_with
from roles.rest.resources import DocumentResource
from roles.rest.schema import ETAG, IF_MATCH
from roles.serializers.roles import RoleSerializer

answer_with(
    RoleInUse,
    status=409,
    code="role_in_use",
    more=lambda error: {"users": [asdict(user) for user in error.users]},
)


@extend_schema(tags=["roles"])
@extend_schema_view(
    list=extend_schema(summary="List roles"),
    retrieve=extend_schema(summary="Read a role", parameters=[ETAG]),
    create=extend_schema(summary="Make a role"),
    update=extend_schema(summary="Replace a role", parameters=[IF_MATCH]),
    partial_update=extend_schema(summary="Change a role", parameters=[IF_MATCH]),
    destroy=extend_schema(
        summary="Remove a role that nothing uses", parameters=[IF_MATCH]
    ),
)
class RoleViewSet(ListedFromReplica, DocumentResource):
    """Who does the steps: agents, HTTP calls and functions."""

    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    pagination_class = ByName
    filterset_class = RoleFilter

    def save_document(self, document: Any, instance: Role | None) -> Role:
        return save_role(document, by=self.caller, role=instance)

    def patch_document(self, instance: Role, changes: Any) -> Role:
        return patch_role(instance, changes, by=self.caller)

    def remove_document(self, instance: Role) -> None:
        delete_role(instance)
