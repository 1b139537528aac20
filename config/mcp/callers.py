"""Who asks over MCP: a user by one of their keys, or one who sits at the machine."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from roles import keys
from roles.acting import Actor
from roles.toolkit import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A user, the key that was shown, and whether the meta-tools are offered."""

    user: User
    key_id: str | None = None
    allows_meta: bool = False

    @property
    def caller(self) -> Caller:
        """Spell who asks as tools know it; only the user's own rights limit them."""
        actor = Actor(
            channel="mcp",
            user_id=self.user.pk,
            user_name=self.user.get_username(),
            api_key_id=self.key_id,
        )
        return Caller(actor=actor, user_id=self.user.pk)


def by_key(token: str) -> Asking | None:
    """Return who shows this key, unless it opens nothing."""
    key = keys.find(token)
    if key is None:
        return None
    keys.note_use(key, timezone.now())
    return Asking(user=key.user, key_id=str(key.pk), allows_meta=key.allows_meta)


def by_username(name: str) -> Asking | None:
    """Return a user who is trusted without a key: whoever can start our commands."""
    user = User.objects.filter(username=name, is_active=True).first()
    return Asking(user=user, allows_meta=True) if user else None
