"""The API of language models: the catalogue, choices, and which are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from roles import breakers
from roles.catalogue import selecting
from roles.catalogue.editing import patch_model, save_model
from roles.filters import LanguageModelFilter
from roles.models import Breaker, LanguageModel, ModelChoice
from roles.problems import InvalidDocument, Problem
from roles.rest.bodies import fields_of
from roles.rest.pages import ByKey, ByName
from roles.rest.resources import DocumentResource, Resource
from roles.rest.schema import ETAG, IF_MATCH
from roles.runners import RoleSpec
from roles.runners.constraints import constraint_problems
from roles.serializers.models import (
    BreakerSerializer,
    ChoiceSerializer,
    LanguageModelSerializer,
    ModelChoiceSerializer,
    QuestionSerializer,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_QUESTION: dict[str, type] = {
    "model_constraints": dict,
    "needs_tools": bool,
    "output_schema": object,
}


class _Models(QuerySet[LanguageModel]):
    """Everybody sees the models; staff keep them."""

    def visible_to(self, user: User) -> _Models:
        return self

    def editable_by(self, user: User) -> _Models:
        return self if user.is_staff else self.none()


@extend_schema(tags=["models"])
@extend_schema_view(
    list=extend_schema(summary="List language models"),
    retrieve=extend_schema(summary="Read a language model", parameters=[ETAG]),
    create=extend_schema(summary="Add a language model (staff)"),
    partial_update=extend_schema(
        summary="Change a language model (staff)", parameters=[IF_MATCH]
    ),
)
class LanguageModelViewSet(DocumentResource):
    """The models that roles may ask, with what is known of them."""

    queryset = _Models(LanguageModel)
    serializer_class = LanguageModelSerializer
    pagination_class = ByName
    filterset_class = LanguageModelFilter
    http_method_names = ["get", "head", "options", "post", "patch"]

    def save_document(self, document: Any, instance: LanguageModel | None) -> Any:
        if not self.caller.is_staff:
            raise PermissionDenied
        return save_model(document, row=instance)

    def patch_document(self, instance: LanguageModel, changes: Any) -> LanguageModel:
        return patch_model(instance, changes)

    @extend_schema(
        summary="Ask which model a role would get, and why",
        request=QuestionSerializer,
        responses={200: ChoiceSerializer},
    )
    @action(detail=False, methods=["post"], filterset_class=None)
    def choose(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(selecting.explained(_imagined(request), settings.CORE_MODEL))


@extend_schema(tags=["models"])
@extend_schema_view(
    retrieve=extend_schema(summary="Read why a model was chosen"),
)
class ModelChoiceViewSet(RetrieveModelMixin, Resource):
    """Choices as they were made for steps."""

    queryset = ModelChoice.objects.all()
    serializer_class = ModelChoiceSerializer
    lookup_value_converter = "str"
    filterset_class = None

    def get_queryset(self) -> Any:
        """Return all: they name models and reasons, and nobody's work."""
        return ModelChoice.objects.all()


@extend_schema(tags=["models"])
@extend_schema_view(
    list=extend_schema(summary="List the models that are left alone for now"),
)
class BreakerViewSet(ListModelMixin, Resource):
    """The models that providers asked to leave alone, by provider, model, credential."""

    queryset = Breaker.objects.all()
    serializer_class = BreakerSerializer
    pagination_class = ByKey
    lookup_value_converter = "path"
    filterset_class = None

    def get_queryset(self) -> Any:
        """Return all: that a provider is busy is nobody's secret."""
        return Breaker.objects.all()

    @extend_schema(
        summary="Let a model be asked again (staff)",
        parameters=[OpenApiParameter("key", str, OpenApiParameter.PATH)],
        responses={204: None},
    )
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not self.caller.is_staff:
            raise PermissionDenied
        breakers.remove(self.get_object())
        return Response(status=204)


def _imagined(request: Request) -> RoleSpec:
    """Read the question as the role that it is about."""
    given = fields_of(request.data, _QUESTION)
    constraints = given.get("model_constraints", {})
    schema = given.get("output_schema")
    found = [
        Problem(place, "invalid", detail)
        for place, detail in constraint_problems(constraints)
    ]
    if schema is not None and not isinstance(schema, dict):
        detail = "A schema is an object or null."
        found.append(Problem("/output_schema", "wrong_type", detail))
    if found:
        raise InvalidDocument(found)
    return RoleSpec(
        id="",
        name="",
        kind="agent",
        needs_tools=given.get("needs_tools", False),
        model_constraints=constraints,
        output_schema=schema,
    )
