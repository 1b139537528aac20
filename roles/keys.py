"""API keys: `core_<prefix>_<secret>`, shown once and kept as a digest only."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils.crypto import constant_time_compare

from roles.models import ApiKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PREFIX_BYTES = 4
SECRET_BYTES = 24
USE_NOTED_EVERY = timedelta(minutes=1)

_TOKEN = re.compile(r"core_([0-9a-f]{8})_[0-9a-f]{48}", re.ASCII)


def issue(user: User, name: str) -> tuple[ApiKey, str]:
    """Make a key for a user; the token is in the answer and nowhere else."""
    prefix = secrets.token_hex(PREFIX_BYTES)
    token = f"core_{prefix}_{secrets.token_hex(SECRET_BYTES)}"
    key = ApiKey.objects.create(
        user=user, name=name, prefix=prefix, digest=_digest(token)
    )
    return key, token


def find(token: str) -> ApiKey | None:
    """Return the key of a token, with its user, unless either is switched off."""
    if not _TOKEN.fullmatch(token):
        return None
    digest = _digest(token)
    key = (
        ApiKey.objects.select_related("user")
        .filter(digest=digest, revoked_at=None, user__is_active=True)
        .first()
    )
    if key is None or not constant_time_compare(key.digest, digest):
        return None
    return key


def note_use(key: ApiKey, now: datetime) -> None:
    """Remember that the key was used; written at most once a minute."""
    if key.last_used_at is not None and key.last_used_at > now - USE_NOTED_EVERY:
        return
    unnoted = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    ApiKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=now)


def revoke(key: ApiKey, now: datetime) -> bool:
    """End a key for good; tell whether this call is the one that ended it."""
    ended = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
    return bool(ended)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
