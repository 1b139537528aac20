"""Probes for whoever runs this: whether the process lives, and whether it can serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from executions.models import Worker
from roles.rest.problems import CONTENT_TYPE, problem_body


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Tell that the process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Tell whether the servers are there and somebody works, each with its reason."""
    checks = {name: check() for name, check in _CHECKS.items()}
    failed = [f"{name}: {state}" for name, state in checks.items() if state != "ok"]
    if not failed:
        return JsonResponse({"status": "ok", "checks": checks})
    body = problem_body(
        status=503,
        code="not_ready",
        detail="; ".join(failed),
        more={"checks": checks},
    )
    return JsonResponse(body, status=503, content_type=CONTENT_TYPE)


def _postgresql() -> str:
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "cannot be reached"
    return "ok"


def _redis() -> str:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        ) as client:
            client.ping()
    except redis.RedisError:
        return "cannot be reached"
    return "ok"


def _workers() -> str:
    try:
        alive = Worker.objects.filter(lease_until__gt=Now()).exists()
    except DatabaseError:
        return "unknown"
    return "ok" if alive else "none has a lease"


_CHECKS: Mapping[str, Callable[[], str]] = {
    "postgresql": _postgresql,
    "redis": _redis,
    "workers": _workers,
}
