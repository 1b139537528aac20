"""`GET executions/{id}/events/`: asynchronous, so that viewers cost no thread each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import (
    AuthenticationFailed,
    MethodNotAllowed,
    NotAuthenticated,
)
from rest_framework.request import Request
from rest_framework.settings import api_settings

from executions.live.stream import BadCursor, Cursor, News, news_after, stream
from executions.models import Execution
from roles.rest.authentication import SCHEME
from roles.rest.problems import ApiProblem, answer_with, problem_response

answer_with(BadCursor, status=400, code="bad_cursor")


class KeyNeeded(ApiProblem):
    """Neither a key nor a session was shown."""

    status_code = 401
    default_code = "not_authenticated"
    default_detail = NotAuthenticated.default_detail

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": SCHEME})


class KeyRefused(KeyNeeded):
    """A key was shown that opens nothing."""

    default_code = "authentication_failed"


_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@csrf_exempt  # it changes nothing; who shows no key is to hear of that first
async def events(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Stream an execution's events from the start, or from `Last-Event-ID`."""
    try:
        news = await sync_to_async(_admitted)(request, pk)
    except Exception as error:
        if (problem := problem_response(error, {})) is None:
            raise
        return problem
    return StreamingHttpResponse(
        stream(pk, news), content_type="text/event-stream", headers=_HEADERS
    )


def _admitted(request: HttpRequest, pk: UUID) -> News:
    """Return what the stream begins with, or raise why there is nothing to see."""
    try:
        user = _user(request)
        if request.method != "GET":
            raise MethodNotAllowed(str(request.method))
        if not Execution.objects.visible_to(user).filter(pk=pk).exists():
            raise Http404
        return news_after(pk, Cursor.parse(_place(request)))
    finally:
        if not connection.in_atomic_block:
            connection.close()  # the stream that follows holds none


def _user(request: HttpRequest) -> Any:
    classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    asking = Request(request, authenticators=[each() for each in classes])
    try:
        user = asking.user
    except AuthenticationFailed as refused:
        raise KeyRefused(str(refused.detail)) from refused
    if not user.is_authenticated:
        raise KeyNeeded
    return user


def _place(request: HttpRequest) -> str:
    given = request.META.get("HTTP_LAST_EVENT_ID") or request.GET.get("after")
    return given or "0-0"
