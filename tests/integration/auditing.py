"""Reading the audit log in tests."""

from __future__ import annotations

from typing import Any

from roles.models import AuditEntry


def entries(action: str = "", **fields: Any) -> list[AuditEntry]:
    """List entries, the oldest first, whose action begins so."""
    rows = AuditEntry.objects.filter(action__startswith=action, **fields)
    return list(rows.order_by("id"))


def entry(action: str, **fields: Any) -> AuditEntry:
    """Return the only entry of an action."""
    found = entries(action, **fields)
    assert len(found) == 1, found
    return found[0]


def whole_log() -> str:
    """Write everything that the log holds, to look for what must not be there."""
    return "\n".join(str(row) for row in AuditEntry.objects.values())
