"""
Put on record who changed what, and who was refused what.

The entry is written in the transaction of the change: both are there, or neither. Who
it was comes from `roles.acting`. Secrets never stand in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from roles.acting import actor
from roles.models import AuditEntry

LONGEST_TEXT = 2_000
LONGEST_DETAIL = 1_000


def record(
    action: str,
    *,
    object_type: str = "",
    object_id: object = "",
    object_name: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    detail: str = "",
) -> None:
    """Note a change; `before` and `after` keep only the fields that differ."""
    if before is not None and after is not None:
        changed = {
            key for key in {*before, *after} if before.get(key) != after.get(key)
        }
        before = {key: before.get(key) for key in sorted(changed)}
        after = {key: after.get(key) for key in sorted(changed)}
    _write(action, "done", object_type, object_id, object_name, before, after, detail)


def refused(
    action: str,
    *,
    detail: str,
    object_type: str = "",
    object_id: object = "",
    object_name: str = "",
    after: Mapping[str, Any] | None = None,
) -> None:
    """Note what somebody wanted to do and may not."""
    _write(action, "refused", object_type, object_id, object_name, None, after, detail)


def shortened(value: Any) -> Any:
    """Return a JSON value, or the beginning of its text if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _write(
    action: str,
    outcome: str,
    object_type: str,
    object_id: object,
    object_name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    detail: str,
) -> None:
    who = actor()
    AuditEntry.objects.create(
        action=action,
        outcome=outcome,
        detail=detail[:LONGEST_DETAIL],
        channel=who.channel,
        user_id=who.user_id,
        user_name=who.user_name,
        api_key_id=who.api_key_id,
        execution_id=who.execution_id,
        step_path=who.step_path,
        role_name=who.role_name,
        object_type=object_type,
        object_id=str(object_id),
        object_name=object_name[:300],
        before=before,
        after=after,
    )
