"""Where each address leads: the API, the admin, approvals by link, and the probes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from config import probes
from executions.links import PAGE
from executions.rest.linked import page

admin.site.site_title = admin.site.site_header = "C.O.R.E. Orchestration"
admin.site.index_title = "Roles, orchestrations and executions"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("api/", include("config.api")),
    path("admin/", admin.site.urls),
    path("approve/<str:token>/", page, name=PAGE),
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
]
handler400 = "roles.rest.problems.bad_request"
handler500 = "roles.rest.problems.server_error"
