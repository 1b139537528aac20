"""API keys: `core_<prefix>_<secret>`, shown once and kept as a digest only."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from django.utils.crypto import constant_time_compare

from roles import audit
from roles.models import ApiKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PREFIX_BYTES = 4
SECRET_BYTES = 24
USE_NOTED_EVERY = timedelta(minutes=1)

_TOKEN = re.compile(r"core_([0-9a-f]{8})_[0-9a-f]{48}", re.ASCII)


@transaction.atomic
def issue(user: User, name: str, *, allows_meta: bool = False) -> tuple[ApiKey, str]:
    """
    Make a key for a user; the token is in the answer and nowhere else.

    One that `allows_meta` is offered the meta-tools over MCP.
    """
    prefix = secrets.token_hex(PREFIX_BYTES)
    token = f"core_{prefix}_{secrets.token_hex(SECRET_BYTES)}"
    key = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=prefix,
        digest=_digest(token),
        allows_meta=allows_meta,
    )
    after = {"user": user.get_username(), "prefix": prefix, "allows_meta": allows_meta}
    _note("api_key.issue", key, after=after)
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


@transaction.atomic
def revoke(key: ApiKey, now: datetime) -> bool:
    """End a key for good; tell whether this call is the one that ended it."""
    ended = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
    if ended:
        before, after = {"revoked_at": None}, {"revoked_at": now.isoformat()}
        _note("api_key.revoke", key, before=before, after=after)
    return bool(ended)


@transaction.atomic
def delete(key: ApiKey) -> None:
    """Forget a key, which ends it as well."""
    _note("api_key.delete", key, before={"prefix": key.prefix})
    key.delete()


def _note(
    action: str,
    key: ApiKey,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        action,
        object_type="api_key",
        object_id=key.pk,
        object_name=key.name,
        before=before,
        after=after,
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
