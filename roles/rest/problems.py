"""
Answer what goes wrong as RFC 9457 problems: `application/problem+json`.

Domain errors know nothing of HTTP: a view's module says with `answer_with` which
status and code each becomes, and everything else follows from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import bad_request as django_bad_request
from django.views.defaults import server_error as django_server_error
from rest_framework.exceptions import APIException, ValidationError

from roles.problems import InvalidDocument, Problem, child

CONTENT_TYPE = "application/problem+json"


class ApiProblem(APIException):
    """A problem that the interface itself finds; subclasses set status and code."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.errors = list(errors)
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How an error of the domain reaches a client."""

    status: int
    code: str
    detail: str | None = None
    headers: Mapping[str, str] | None = None
    more: Callable[[Any], Mapping[str, Any]] | None = None


_UNAVAILABLE = Answer(
    status=503,
    code="unavailable",
    detail="The database is away; try again in a moment.",
    headers={"Retry-After": "5"},
)
_ANSWERS: dict[type[Exception], Answer] = {
    Http404: Answer(status=404, code="not_found", detail="There is no such object."),
    PermissionDenied: Answer(
        status=403, code="permission_denied", detail="You may not do this."
    ),
    RequestDataTooBig: Answer(status=413, code="too_large"),
    SuspiciousOperation: Answer(
        status=400, code="bad_request", detail="The request cannot be read."
    ),
    InvalidDocument: Answer(status=400, code="invalid"),
    OperationalError: _UNAVAILABLE,
    InterfaceError: _UNAVAILABLE,
}


def answer_with(
    error: type[Exception],
    *,
    status: int,
    code: str,
    more: Callable[[Any], Mapping[str, Any]] | None = None,
) -> None:
    """
    Answer `error` and its subclasses with this status and code.

    The error's text becomes the problem's `detail`, its `problems`, if it has any,
    the `errors`, and what `more` makes of it further members.
    """
    _ANSWERS[error] = Answer(status=status, code=code, more=more)


def problem_response(
    error: Exception, context: Mapping[str, Any]
) -> JsonResponse | None:
    """
    Django REST framework's exception handler; None leaves a bug to handler500.

    It is JSON whatever the view renders, the description in YAML for example.
    """
    if isinstance(error, APIException):
        body, headers = _of_framework(error), _framework_headers(error)
    elif (answer := _answer_for(error)) is not None:
        body, headers = _of_domain(error, answer), dict(answer.headers or {})
    else:
        return None
    return _json(body, headers)


def problem_page(status: int, code: str, detail: str) -> JsonResponse:
    """Answer where there is no error to describe."""
    return _json(problem_body(status=status, code=code, detail=detail))


def problem_body(
    *,
    status: int,
    code: str,
    detail: str,
    errors: Iterable[Problem] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": [asdict(problem) for problem in errors],
        **(more or {}),
    }


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for a bug, whose particulars are in the log and nowhere else."""
    if not request.path.startswith("/api/"):
        return django_server_error(request)
    return problem_page(
        500, "internal_error", "Something went wrong here; the log says what."
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses before any view is reached."""
    if not request.path.startswith("/api/"):
        return django_bad_request(request, exception)
    return problem_page(400, "bad_request", "The request cannot be read.")


def _json(
    body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> JsonResponse:
    return JsonResponse(
        body, status=body["status"], headers=headers, content_type=CONTENT_TYPE
    )


def _of_framework(error: APIException) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        return problem_body(
            status=error.status_code,
            code="invalid",
            detail="The request is not valid.",
            errors=_flattened(error.detail, ""),
        )
    return problem_body(
        status=error.status_code,
        code=str(error.get_codes()),
        detail=str(error.detail),
        errors=getattr(error, "errors", ()),
    )


def _framework_headers(error: APIException) -> dict[str, str]:
    headers = dict(getattr(error, "headers", {}))
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _answer_for(error: Exception) -> Answer | None:
    found = (_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS)
    return next(found, None)


def _of_domain(error: Exception, answer: Answer) -> dict[str, Any]:
    return problem_body(
        status=answer.status,
        code=answer.code,
        detail=answer.detail or str(error),
        errors=getattr(error, "problems", ()),
        more=answer.more(error) if answer.more else None,
    )


def _flattened(detail: Any, pointer: str) -> list[Problem]:
    if isinstance(detail, dict):
        parts = [(child(pointer, key), value) for key, value in detail.items()]
    elif isinstance(detail, list):
        parts = [
            (pointer if isinstance(value, str) else child(pointer, place), value)
            for place, value in enumerate(detail)
        ]
    else:
        return [Problem(pointer, str(getattr(detail, "code", "invalid")), str(detail))]
    return [problem for place, value in parts for problem in _flattened(value, place)]
