"""Tell who asks: `Authorization: Bearer core_<prefix>_<secret>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from roles import keys
from roles.models import ApiKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.request import Request

SCHEME = "Bearer"


class ApiKeyAuthentication(BaseAuthentication):
    """A user by one of their keys; it stands first, so that nobody gets a 403."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """Return the user and the key, or None when no key was shown."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        key = keys.find(token.strip())
        if key is None:
            raise AuthenticationFailed(
                "The API key is unknown or revoked, or its user is not active."
            )
        keys.note_use(key, timezone.now())
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return SCHEME
