"""How secrets look from outside: everything but their values."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from roles.models import Secret

_EXAMPLES = [
    OpenApiExample(
        "A key that one host gets",
        value={
            "name": "weather-key",
            "value": "the key itself",
            "allowed_hosts": ["weather.example"],
        },
        request_only=True,
    ),
]


@extend_schema_serializer(examples=_EXAMPLES)
class SecretSerializer(serializers.ModelSerializer[Secret]):
    value = serializers.CharField(
        write_only=True,
        required=False,
        help_text="Needed for a new secret; left out, a secret keeps its value. "
        "It is never shown.",
    )
    allowed_hosts = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="`host[:port]` each; empty means that it may be sent anywhere.",
    )

    class Meta:
        model = Secret
        fields: ClassVar[Any] = (
            "id",
            "name",
            "description",
            "value",
            "allowed_hosts",
            "created_at",
            "updated_at",
        )
