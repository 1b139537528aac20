"""What the OpenAPI description cannot see by itself: keys, problems, preconditions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from roles.rest.problems import CONTENT_TYPE

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` that was read; 412 when the object changed since.",
)
ETAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    description="Names the state of the object, for `If-Match`.",
    response=[200, 201],
)


class ProblemDetailSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="A JSON pointer into the body.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """What goes wrong, after RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="What programs should look at.")
    detail = serializers.CharField(help_text="What people should read.")
    errors = ProblemDetailSerializer(many=True)  # type: ignore[assignment]


class ResourceSchema(AutoSchema):
    """Describes every operation's failures by the one problem component."""

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        problem = self.resolve_serializer(ProblemSerializer, "response")
        return {
            **super()._get_response_bodies(direction),
            "default": {
                "description": "Anything that goes wrong",
                "content": {CONTENT_TYPE: {"schema": problem.ref}},
            },
        }


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "roles.rest.authentication.ApiKeyAuthentication"
    name = "apiKey"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "core_<prefix>_<secret>",
        }
