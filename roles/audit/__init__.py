"""
Put on record who changed what, and who was refused what.

The entry is written in the transaction of the change: both are there, or neither. Who
it was comes from `roles.acting`. Secrets never stand in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from roles.acting import actor
from roles.audit import pruning
from roles.audit.documents import differing, kept, shortened, storable_text
from roles.models import AuditEntry

__all__ = ["count", "prune", "record", "refused", "shortened"]


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
        before, after = differing(before, after)
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


def count(before: datetime) -> int:
    """Count the entries that are older."""
    return pruning.older(before).count()


def prune(before: datetime) -> int:
    """Remove the entries that are older, and note how many; return that."""
    removed = 0
    try:
        while batch := pruning.remove_batch(before):
            removed += batch
    finally:  # what is gone is gone, even if the rest could not be removed
        record("audit.prune", after={"before": before.isoformat(), "removed": removed})
    return removed


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
        detail=storable_text(detail, 1_000),
        channel=who.channel,
        user_id=who.user_id,
        user_name=storable_text(who.user_name, 150),
        api_key_id=who.api_key_id,
        execution_id=who.execution_id,
        step_path=who.step_path,
        role_name=who.role_name,
        object_type=object_type,
        object_id=storable_text(str(object_id), 300),
        object_name=storable_text(object_name, 300),
        before=kept(before),
        after=kept(after),
    )
