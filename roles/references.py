"""How a step names its role, in one text: `id:<uuid>` or `name:<name>`."""

from __future__ import annotations

from uuid import UUID


def reference(*, role_id: str | None, role_name: str | None) -> str:
    """Spell the name of a role; the id, in its normal form, counts where it is given."""
    return f"id:{UUID(role_id)}" if role_id else f"name:{role_name}"
