"""The addresses below `/api/`, and the answer for those that lead nowhere."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from config.docs import DocsView, SchemaView
from core_orchestration.views import OrchestrationViewSet
from executions.live.view import events
from executions.rest.approvals import ApprovalViewSet
from executions.rest.signals import EventViewSet
from executions.rest.spending import BudgetViewSet, ExecutionUsageView, UsageView
from executions.rest.transcripts import TranscriptView
from executions.rest.views import ExecuteView, ExecutionViewSet
from executions.rest.workers import WorkerViewSet
from roles.views.audit import AuditViewSet
from roles.views.models import (
    BreakerViewSet,
    LanguageModelViewSet,
    ModelChoiceViewSet,
)
from roles.views.roles import RoleViewSet
from roles.views.secrets import SecretViewSet
from roles.views.servers import McpServerViewSet

router = SimpleRouter(use_regex_path=False)
router.register("roles", RoleViewSet)
router.register("models", LanguageModelViewSet)
router.register("model-choices", ModelChoiceViewSet)
router.register("breakers", BreakerViewSet)
router.register("secrets", SecretViewSet)
router.register("mcp-servers", McpServerViewSet)
router.register("orchestrations", OrchestrationViewSet)
router.register("executions", ExecutionViewSet)
router.register("workers", WorkerViewSet)
router.register("approvals", ApprovalViewSet)
router.register("budgets", BudgetViewSet)
router.register("audit", AuditViewSet)


class Nowhere(APIView):
    """No address of the API; those who show no key are not even told that."""

    schema = None
    metadata_class = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        raise Http404


v1: list[URLPattern | URLResolver] = [
    path("", include(router.urls)),
    path(
        "orchestrations/<uuid:pk>/execute/",
        ExecuteView.as_view({"post": "execute"}),
        name="orchestration-execute",
    ),
    path("events/", EventViewSet.as_view({"post": "post_event"}), name="events"),
    path("executions/<uuid:pk>/events/", events, name="execution-events"),
    path(
        "executions/<uuid:pk>/transcript/",
        TranscriptView.as_view({"get": "transcript"}),
        name="execution-transcript",
    ),
    path(
        "executions/<uuid:pk>/usage/",
        ExecutionUsageView.as_view({"get": "usage"}),
        name="execution-usage",
    ),
    path("usage/", UsageView.as_view({"get": "report"}), name="usage"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
]
urlpatterns = [
    path("v1/", include(v1)),
    re_path("", Nowhere.as_view()),
]
