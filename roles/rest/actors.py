"""
Who is behind a request, as the audit log names them.

It is asked only when something changes, which is after the view has let somebody in:
Django REST framework leaves the user and the key of its request on Django's as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roles.acting import Actor, Channel
from roles.models import ApiKey

if TYPE_CHECKING:
    from django.http import HttpRequest

ADMIN = "/admin/"
API = "/api/"


def actor_of(request: HttpRequest) -> Actor:
    """
    Name the person, and the key if one was shown.

    Whoever comes by a signed link, outside of both, is nobody in particular.
    """
    if request.path_info.startswith(ADMIN):
        return _person(request, "admin")
    if request.path_info.startswith(API):
        return _person(request, "api")
    return Actor(channel="api")


def _person(request: HttpRequest, channel: Channel) -> Actor:
    user: Any = request.user
    key = getattr(request, "auth", None)
    return Actor(
        channel=channel,
        user_id=user.pk,
        user_name=user.get_username(),
        api_key_id=str(key.pk) if isinstance(key, ApiKey) else None,
    )
