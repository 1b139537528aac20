"""An entry of the audit log as JSON."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from roles.models import AuditEntry


class ActorSerializer(serializers.Serializer[AuditEntry]):
    """Who it was: a person, perhaps by a key; or the role of an execution's step."""

    channel = serializers.CharField(
        help_text="`api`, `admin`, `agent`, `mcp`, `command` or `system`."
    )
    user_id = serializers.IntegerField(allow_null=True)
    user_name = serializers.CharField(
        help_text="As it was then; of a command, the account it ran under."
    )
    api_key_id = serializers.UUIDField(allow_null=True)
    execution_id = serializers.UUIDField(allow_null=True)
    step_path = serializers.CharField()
    role_name = serializers.CharField()


class ObjectSerializer(serializers.Serializer[AuditEntry]):
    """What it was done to; `id` may name something that is no longer there."""

    type = serializers.CharField(source="object_type")
    id = serializers.CharField(source="object_id")
    name = serializers.CharField(source="object_name")


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """
    One change, or one refusal.

    Of a change `before` and `after` hold the fields that differ. Long values are cut,
    and what is named like a credential is left out.
    """

    by = ActorSerializer(source="*")
    object = ObjectSerializer(source="*")
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)

    class Meta:
        model = AuditEntry
        fields: ClassVar[Any] = (
            "id",
            "at",
            "action",
            "outcome",
            "detail",
            "by",
            "object",
            "before",
            "after",
        )
