"""How roles look from outside; what may come in is `registry`'s to judge."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from roles.models import Role

_EXAMPLES = [
    OpenApiExample(
        "A function",
        value={
            "name": "Shouter",
            "kind": "function",
            "config": {"function": "text.upper"},
        },
        request_only=True,
    ),
    OpenApiExample(
        "An HTTP call",
        value={
            "name": "Weather service",
            "kind": "http",
            "config": {
                "method": "GET",
                "url": "https://weather.example/v1/today",
                "query": {"city": "{{ input.city }}"},
            },
        },
        request_only=True,
    ),
    OpenApiExample(
        "An agent",
        value={
            "name": "Researcher",
            "kind": "agent",
            "base_prompt": "You gather facts and name your sources.",
            "tools": [],
        },
        request_only=True,
    ),
]


class ProvenanceSerializer(serializers.Serializer[Any]):
    """Which agent made it: the step of an execution, and the role that did it."""

    execution_id = serializers.CharField()
    step_path = serializers.CharField()
    role_name = serializers.CharField()


@extend_schema_serializer(examples=_EXAMPLES)
class RoleSerializer(serializers.ModelSerializer[Role]):
    config = serializers.DictField(required=False)
    tools = serializers.ListField(child=serializers.CharField(), required=False)
    model_constraints = serializers.DictField(required=False)
    input_schema = serializers.DictField(required=False, allow_null=True)
    output_schema = serializers.DictField(required=False, allow_null=True)
    provenance = ProvenanceSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Role
        fields: ClassVar[Any] = (
            "id",
            "name",
            "description",
            "kind",
            "base_prompt",
            "config",
            "tools",
            "needs_tools",
            "model_constraints",
            "input_schema",
            "output_schema",
            "is_active",
            "provenance",
            "created_at",
            "updated_at",
        )
