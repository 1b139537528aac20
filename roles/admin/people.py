"""Who is at work in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest


def acting(request: HttpRequest) -> User:
    """Name the person of a request that the admin has let in."""
    return cast("User", request.user)
