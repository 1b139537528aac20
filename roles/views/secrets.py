"""The API of secrets: written, named, and never read back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view

from roles.models import Secret
from roles.rest.pages import ByName
from roles.rest.problems import answer_with
from roles.rest.resources import DocumentResource
from roles.rest.schema import ETAG, IF_MATCH
from roles.secrets.vault import (
    SecretInUse,
    delete_secret,
    patch_secret,
    save_secret,
)
from roles.serializers.secrets import SecretSerializer

answer_with(
    SecretInUse,
    status=409,
    code="secret_in_use",
    more=lambda error: {"users": [asdict(user) for user in error.users]},
)


@extend_schema(tags=["secrets"])
@extend_schema_view(
    list=extend_schema(summary="List secrets, without their values"),
    retrieve=extend_schema(summary="Read a secret's description", parameters=[ETAG]),
    create=extend_schema(summary="Keep a secret"),
    update=extend_schema(summary="Replace a secret", parameters=[IF_MATCH]),
    partial_update=extend_schema(summary="Change a secret", parameters=[IF_MATCH]),
    destroy=extend_schema(
        summary="Remove a secret that nothing names", parameters=[IF_MATCH]
    ),
)
class SecretViewSet(DocumentResource):
    """Values that configuration refers to as `{"$secret": "name"}`."""

    queryset = Secret.objects.all()
    serializer_class = SecretSerializer
    pagination_class = ByName

    def save_document(self, document: Any, instance: Secret | None) -> Secret:
        return save_secret(document, by=self.caller, secret=instance)

    def patch_document(self, instance: Secret, changes: Any) -> Secret:
        return patch_secret(instance, changes, by=self.caller)

    def remove_document(self, instance: Secret) -> None:
        delete_secret(instance)
