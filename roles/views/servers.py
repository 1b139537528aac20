"""The API of outside MCP servers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connection
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from roles.models import McpServer
from roles.rest.pages import ByName
from roles.rest.problems import answer_with
from roles.rest.resources import DocumentResource
from roles.rest.schema import ETAG, IF_MATCH
from roles.serializers.servers import CheckedServerSerializer, McpServerSerializer
from roles.servers import family
from roles.servers.endpoints import Endpoint, ServerFault, endpoint_of
from roles.servers.saving import (
    CommandForbidden,
    ServerInUse,
    delete_server,
    patch_server,
    save_server,
)

answer_with(CommandForbidden, status=403, code="command_forbidden")
answer_with(
    ServerInUse,
    status=409,
    code="mcp_server_in_use",
    more=lambda error: {
        "users": [
            {"kind": "role", "id": str(role.pk), "name": role.name}
            for role in error.roles
        ]
    },
)
answer_with(
    ServerFault,
    status=502,
    code="mcp_server_failed",
    more=lambda error: {"code": error.code},
)


@extend_schema(tags=["mcp servers"])
@extend_schema_view(
    list=extend_schema(summary="List outside MCP servers"),
    retrieve=extend_schema(summary="Read an MCP server", parameters=[ETAG]),
    create=extend_schema(summary="Register an MCP server"),
    update=extend_schema(summary="Replace an MCP server", parameters=[IF_MATCH]),
    partial_update=extend_schema(summary="Change an MCP server", parameters=[IF_MATCH]),
    destroy=extend_schema(
        summary="Remove an MCP server that no role is granted", parameters=[IF_MATCH]
    ),
)
class McpServerViewSet(DocumentResource):
    """Outside servers whose tools roles may be granted, as `mcp:<name>`."""

    queryset = McpServer.objects.all()
    serializer_class = McpServerSerializer
    pagination_class = ByName

    def save_document(self, document: Any, instance: McpServer | None) -> McpServer:
        return save_server(document, by=self.caller, server=instance)

    def patch_document(self, instance: McpServer, changes: Any) -> McpServer:
        return patch_server(instance, changes, by=self.caller)

    def remove_document(self, instance: McpServer) -> None:
        delete_server(instance)

    @extend_schema(
        summary="Ask an MCP server for its tools now",
        request=None,
        responses=CheckedServerSerializer,
    )
    @action(detail=True, methods=["post"], pagination_class=None)
    def check(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        server = self.get_object()
        mine = self.get_queryset().editable_by(self.caller)
        if not mine.filter(pk=server.pk).exists():
            raise PermissionDenied
        endpoint = endpoint_of(server)
        if not connection.in_atomic_block:
            connection.close()  # the wait for the server holds none
        return Response(_checked(server, endpoint))


def _checked(server: McpServer, endpoint: Endpoint) -> dict[str, Any]:
    from roles.servers.listing import listed  # its SDK takes a second

    listing = asyncio.run(listed(endpoint))
    tools = [
        {
            **asdict(tool),
            "is_allowed": family.is_allowed(server, tool.name),
            "needs_approval": family.needs_approval(server, tool.name),
        }
        for tool in listing.tools
    ]
    there = {tool.name for tool in listing.tools} | {family.ALL}
    named = [*server.allowed_tools, *server.approved_tools]
    missing = sorted({name for name in named if name not in there})
    return {"tools": tools, "is_complete": listing.is_complete, "missing": missing}
