"""
Django's middleware, run where the request is: in the event loop of the web process.

Django sends each of them to a thread and back, before a request and after it, which
took longer than their work. What may ask the database still goes to a thread.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.middleware import clickjacking, common, csrf, security
from django.utils.deprecation import MiddlewareMixin

from roles.acting import acting_as
from roles.rest.actors import actor_of

_READING = ("GET", "HEAD", "OPTIONS", "TRACE")


class InPlace(MiddlewareMixin):
    """Calls what a middleware does before and after a request without a thread."""

    async def __acall__(self, request: HttpRequest) -> Any:
        before = getattr(self, "process_request", None)
        response = before(request) if before else None
        onward: Any = self.get_response
        response = response or await onward(request)
        after: Any = getattr(self, "process_response", None)
        if after is None:
            return response
        if self.may_wait(request):
            after = sync_to_async(after)
            return await after(request, response)
        return after(request, response)

    def may_wait(self, request: HttpRequest) -> bool:
        """Tell whether the work after this request may ask the database."""
        return False


class SecurityMiddleware(InPlace, security.SecurityMiddleware):
    pass


class SessionMiddleware(InPlace, sessions.SessionMiddleware):
    def may_wait(self, request: HttpRequest) -> bool:
        return bool(request.session.accessed or request.session.modified)


class CommonMiddleware(InPlace, common.CommonMiddleware):
    pass


class CsrfViewMiddleware(InPlace, csrf.CsrfViewMiddleware):
    async def process_view(  # type: ignore[override]
        self, request: HttpRequest, view: Any, *arguments: Any
    ) -> Any:
        """Read a form, which may be long, in a thread; there is none elsewhere."""
        check: Any = super().process_view
        if request.method not in _READING and not getattr(view, "csrf_exempt", False):
            check = sync_to_async(check)
            return await check(request, view, *arguments)
        return check(request, view, *arguments)


class AuthenticationMiddleware(InPlace, auth.AuthenticationMiddleware):
    pass


class ActorMiddleware(InPlace):
    """Lets whatever a request changes be done by whoever sent it; see `roles.acting`."""

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        with acting_as(partial(actor_of, request)):
            return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> Any:
        onward: Any = self.get_response
        with acting_as(partial(actor_of, request)):
            return await onward(request)


class MessageMiddleware(InPlace, messages.MessageMiddleware):
    def may_wait(self, request: HttpRequest) -> bool:
        stored: Any = getattr(request, "_messages", None)
        return stored is not None and (stored.used or stored.added_new)


class XFrameOptionsMiddleware(InPlace, clickjacking.XFrameOptionsMiddleware):
    pass
