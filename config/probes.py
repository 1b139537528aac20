"""Probes for whoever runs this: whether the process lives, and whether it can serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from executions import backlog, fleet
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
    failed = [
        f"{name}: {state}"
        for name, state in checks.items()
        if state != "ok" and name not in _INFORMATIVE
    ]
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
        with backlog.broker() as client:
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


def _backlog() -> str:
    """
    Tell whether what lies in the queues is being taken.

    Long steps on all slots are no excuse: who sends more work here would wait too.
    """
    try:
        with backlog.broker() as client:
            queues = backlog.read(client)
        now, limit_s = time(), settings.CORE_BACKLOG_S
        still = [each for each in queues if each.stands_still(now=now, limit_s=limit_s)]
        served = fleet.read().queues if still else {}
    except (redis.RedisError, DatabaseError, InterfaceError):
        return "unknown"
    told = (backlog.in_words(each, served.get(each.queue), now=now) for each in still)
    return "; ".join(told) or "ok"


def _reconciler() -> str:
    try:
        return "ok" if fleet.read().reconciler else "none is at work"
    except (DatabaseError, InterfaceError):
        return "unknown"


_CHECKS: Mapping[str, Callable[[], str]] = {
    "postgresql": _postgresql,
    "redis": _redis,
    "workers": _workers,
    "backlog": _backlog,
    "reconciler": _reconciler,
}
# Told, but no reason to send no requests here: one is elected a moment after start.
_INFORMATIVE = frozenset({"reconciler"})
