"""Where a call of a model stands, and the budgets that apply to it there."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Whom a call is for; `execution_ids` are its execution's and those above it."""

    role_id: UUID | None = None
    orchestration_id: UUID | None = None
    api_key_id: UUID | None = None
    execution_ids: tuple[UUID, ...] = ()  # the innermost first


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBudget:
    """
    A budget that applies to a call, as it was a moment ago.

    With `execution_id` it is that execution's share of a budget per execution.
    """

    id: UUID
    scope: str
    scope_id: UUID
    has_money: bool
    execution_id: UUID | None = None
