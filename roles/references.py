"""How a step names its role, in one text: `id:<uuid>` or `name:<name>`."""

from __future__ import annotations


def reference(*, role_id: str | None, role_name: str | None) -> str:
    """Spell the name of a role; the id counts where both are given."""
    return f"id:{role_id}" if role_id else f"name:{role_name}"
