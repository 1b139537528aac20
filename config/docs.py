"""The API's own description: a page to browse, and what generation cannot see."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request

from executions.approvals import STATUSES
from executions.states import ExecutionStatus, StepStatus
from roles.rest.problems import CONTENT_TYPE

_SIGN_IN = (
    '<!doctype html><html lang="en"><title>Sign in</title>'
    '<meta http-equiv="refresh" content="0; url={0}">'
    '<p>The description of the API is for users: <a href="{0}">sign in</a>.</p>'
)


class SchemaView(SpectacularAPIView):
    """OpenAPI 3.1 as JSON or, for `Accept: application/yaml`, as YAML."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer2]
    permission_classes = [IsAuthenticated]
    metadata_class = None
    custom_settings = {
        "POSTPROCESSING_HOOKS": [
            "drf_spectacular.hooks.postprocess_schema_enums",
            "config.docs.with_events",
        ],
        "ENUM_NAME_OVERRIDES": {
            "ExecutionStatusEnum": [each.value for each in ExecutionStatus],
            "ApprovalStatusEnum": list(STATUSES),
            "StepStatusEnum": [each.value for each in StepStatus],
        },
    }


class DocsView(SpectacularSwaggerView):
    """Swagger's page, served from here; visitors are shown where to sign in."""

    permission_classes = [IsAuthenticated]
    metadata_class = None
    renderer_classes = [TemplateHTMLRenderer]
    url_name = "schema"

    def handle_exception(self, exc: Exception) -> Any:
        if not isinstance(exc, NotAuthenticated):
            return super().handle_exception(exc)
        here = reverse("docs")
        page = format_html(_SIGN_IN, f"{reverse('admin:login')}?next={here}")
        challenge = {"WWW-Authenticate": self.get_authenticate_header(self.request)}
        return HttpResponse(page, status=401, headers=challenge)

    def get_authenticate_header(self, request: Request) -> str:
        return super().get_authenticate_header(request) or "Bearer"


def with_events(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """Describe the event stream, whose view is no view of the framework."""
    problem = {
        "description": "Anything that goes wrong",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    result["paths"]["/api/v1/executions/{id}/events/"] = {
        "get": {
            "operationId": "executions_events",
            "summary": "Follow an execution as Server-Sent Events",
            "description": "History first, then live, until the event `end`. Each "
            "event's `data` is JSON: `id, type, execution_id, path, step_key, at, "
            "data`.",
            "tags": ["executions"],
            "security": [{"apiKey": []}, {"cookieAuth": []}],
            "parameters": [
                _parameter("id", "path", "uuid", required=True),
                _parameter("Last-Event-ID", "header"),
                _parameter("after", "query"),
            ],
            "responses": {
                "200": {
                    "description": "The stream",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                "default": problem,
            },
        }
    }
    return result


def _parameter(
    name: str, place: str, form: str | None = None, *, required: bool = False
) -> dict[str, Any]:
    schema = {"type": "string"} | ({"format": form} if form else {})
    return {"name": name, "in": place, "schema": schema, "required": required}
