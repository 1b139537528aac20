"""How MCP servers look from outside; what may come in is `servers`' to judge."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from roles.models import McpServer

_EXAMPLES = [
    OpenApiExample(
        "At a URL",
        value={
            "name": "github",
            "url": "https://api.githubcopilot.com/mcp/",
            "headers": {
                "Authorization": {"$secret": "github-token", "prefix": "Bearer "}
            },
            "allowed_tools": ["search_issues", "create_issue"],
            "approved_tools": ["create_issue"],
        },
        request_only=True,
    ),
    OpenApiExample(
        "A command",
        value={
            "name": "files",
            "command": ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/srv"],
            "allowed_tools": ["*"],
        },
        request_only=True,
    ),
]


@extend_schema_serializer(examples=_EXAMPLES)
class McpServerSerializer(serializers.ModelSerializer[McpServer]):
    url = serializers.CharField(
        required=False, help_text="Of a server that speaks streamable HTTP."
    )
    command = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="A program and its arguments, which workers start; for staff only.",
    )
    headers = serializers.DictField(
        required=False,
        help_text='Texts, or `{"$secret": "name", "prefix": "Bearer "}`.',
    )
    environment = serializers.DictField(
        required=False, help_text="Of the command; written as headers are."
    )
    allowed_tools = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text='The tools that roles may call; `["*"]`: all of them.',
    )
    approved_tools = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text='Those of them that a person approves each time; `["*"]`: all.',
    )
    timeout_ms = serializers.IntegerField(
        required=False, help_text="The time that listing, or one call, may take."
    )

    class Meta:
        model = McpServer
        fields: ClassVar[Any] = (
            "id",
            "name",
            "description",
            "url",
            "command",
            "headers",
            "environment",
            "allowed_tools",
            "approved_tools",
            "timeout_ms",
            "is_active",
            "created_at",
            "updated_at",
        )


class CheckedToolSerializer(serializers.Serializer[Any]):
    """A tool as its server describes it."""

    name = serializers.CharField()
    description = serializers.CharField()
    schema = serializers.DictField()
    is_allowed = serializers.BooleanField()
    needs_approval = serializers.BooleanField()


class CheckedServerSerializer(serializers.Serializer[Any]):
    """What a server offers now."""

    tools = CheckedToolSerializer(many=True)
    is_complete = serializers.BooleanField(
        help_text="False when it offers more than is read."
    )
    missing = serializers.ListField(
        child=serializers.CharField(),
        help_text="Tools that are allowed or approved, and that it does not have.",
    )
