"""
Objects that people edit as whole documents: reading, writing, preconditions.

Each step of a write happens under the row's lock: who may, what state, what next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import PermissionDenied
from django.db import transaction
from rest_framework.generics import get_object_or_404
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT
from rest_framework.viewsets import GenericViewSet

from roles.rest.parsers import require_length
from roles.rest.preconditions import etag_of, require_match
from roles.rest.schema import ResourceSchema

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Resource(GenericViewSet[Any]):
    """The base of all resources; objects of others do not exist for the caller."""

    lookup_value_converter = "uuid"
    schema = ResourceSchema()
    metadata_class = None  # the OpenAPI description tells more than OPTIONS could

    @property
    def caller(self) -> User:
        """Who asks; permissions let nobody in without a key or a session."""
        return cast("User", self.request.user)

    def get_queryset(self) -> Any:
        """Return the rows that the caller may see."""
        rows: Any = super().get_queryset()
        return rows.visible_to(self.caller)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        require_length(request.META)


class DocumentResource(ListModelMixin, Resource):
    """List, read, make, replace, patch and remove documents."""

    def save_document(self, document: Any, instance: Any | None) -> Any:
        """Make the object, or replace `instance`, by a document; return it."""
        raise NotImplementedError

    def patch_document(self, instance: Any, changes: Any) -> Any:
        """Change the fields that are named; return the object."""
        raise NotImplementedError

    def remove_document(self, instance: Any) -> None:
        """Take the object away, or raise why not."""
        raise NotImplementedError

    def etag(self, instance: Any) -> str:
        return etag_of(instance.pk, instance.updated_at.isoformat())

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._answer(self.get_object())

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        instance = self.save_document(request.data, None)
        location = self.reverse_action("detail", args=[instance.pk])
        return self._answer(
            instance, status=HTTP_201_CREATED, headers={"Location": location}
        )

    @transaction.atomic
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        instance = self._held()
        return self._answer(self.save_document(request.data, instance))

    @transaction.atomic
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        instance = self._held()
        return self._answer(self.patch_document(instance, request.data))

    @transaction.atomic
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.remove_document(self._held())
        return Response(status=HTTP_204_NO_CONTENT)

    def _held(self) -> Any:
        """Lock the object for a change that the caller may make, or raise."""
        rows = self.get_queryset()
        locked = rows.select_related(None).select_for_update(of=("self",))
        instance = get_object_or_404(locked, pk=self.kwargs["pk"])
        if not rows.editable_by(self.caller).filter(pk=instance.pk).exists():
            raise PermissionDenied
        require_match(self.request.headers, self.etag(instance))
        return instance

    def _answer(
        self,
        instance: Any,
        *,
        status: int = HTTP_200_OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return Response(
            self.get_serializer(instance).data,
            status=status,
            headers={"ETag": self.etag(instance), **(headers or {})},
        )
