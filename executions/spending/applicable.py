"""
Find the budgets that apply to a call, nearly always without asking the database.

A process keeps in mind which budgets there are of roles, orchestrations and API keys,
and whether any is of an execution: so a budget holds everywhere a moment after it was
made. Limits are not kept: whoever reserves reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch
from executions.spending.scene import AppliedBudget, Scene

_GOOD_FOR_S = 1.0
_MOST_SCENES = 1_000

_COMMON: LiteralString = """
SELECT b.id, b.scope, b.scope_id, b.money IS NOT NULL, b.per_execution
FROM executions_budget b WHERE b.is_active AND b.scope <> 'execution'
UNION ALL
(SELECT b.id, b.scope, b.scope_id, false, false
FROM executions_budget b WHERE b.is_active AND b.scope = 'execution' LIMIT 1)
"""
_OF_EXECUTIONS: LiteralString = """
SELECT b.id, b.scope, b.scope_id, b.money IS NOT NULL, b.per_execution
FROM executions_budget b
WHERE b.is_active AND b.scope = 'execution' AND b.scope_id = ANY(%(executions)s)
"""


@dataclass(frozen=True, slots=True)
class _Row:
    id: UUID
    scope: str
    scope_id: UUID
    has_money: bool
    per_execution: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What there is, by scope and id, as it was at a time of this process's clock."""

    at: float
    common: dict[tuple[str, UUID], list[_Row]]
    any_of_executions: bool


_NOTHING = _Known(at=float("-inf"), common={}, any_of_executions=False)
_known = _NOTHING
_scenes: dict[tuple[UUID, ...], tuple[float, list[_Row]]] = {}


def applying(scene: Scene) -> tuple[AppliedBudget, ...]:
    """
    Return the active budgets that a call has to keep to, in a fixed order.

    What is answered may be two seconds old; without any budgets it costs a statement of
    the whole process now and then.
    """
    known = _current()
    if not known.common and not known.any_of_executions:
        return ()
    places = (
        ("role", scene.role_id),
        ("orchestration", scene.orchestration_id),
        ("api_key", scene.api_key_id),
    )
    rows = [
        row
        for scope, id_ in places
        if id_ is not None
        for row in known.common.get((scope, id_), ())
    ]
    if known.any_of_executions and scene.execution_ids:
        rows += _of_executions(scene.execution_ids)
    found = (each for row in rows for each in _applied(row, scene.execution_ids))
    return tuple(sorted(found, key=lambda each: (each.id, str(each.execution_id))))


def known_to_be_none() -> bool:
    """Tell whether `applying` would find no budget, and without a statement."""
    known = _known
    is_fresh = monotonic() - known.at <= _GOOD_FOR_S
    return is_fresh and not known.common and not known.any_of_executions


def forget() -> None:
    """Have this process read anew which budgets there are."""
    global _known
    _known = _NOTHING
    _scenes.clear()


def _current() -> _Known:
    """
    Return what is known, and read it if that is too old.

    Threads may read it at the same time; each is right.
    """
    global _known
    now = monotonic()
    if now - _known.at > _GOOD_FOR_S:
        rows = _rows(fetch(_COMMON, {}))
        common: dict[tuple[str, UUID], list[_Row]] = {}
        for row in rows:
            if row.scope != "execution":
                common.setdefault((row.scope, row.scope_id), []).append(row)
        any_left = any(row.scope == "execution" for row in rows)
        _known = _Known(at=now, common=common, any_of_executions=any_left)
    return _known


def _of_executions(execution_ids: tuple[UUID, ...]) -> list[_Row]:
    now = monotonic()
    at, rows = _scenes.get(execution_ids, (float("-inf"), []))
    if now - at > _GOOD_FOR_S:
        rows = _rows(fetch(_OF_EXECUTIONS, {"executions": list(execution_ids)}))
        if len(_scenes) >= _MOST_SCENES:
            _scenes.clear()
        _scenes[execution_ids] = (now, rows)
    return rows


def _rows(found: Sequence[tuple[Any, ...]]) -> list[_Row]:
    return [_Row(*each) for each in found]


def _applied(row: _Row, chain: tuple[UUID, ...]) -> Iterator[AppliedBudget]:
    """Take a budget as it is or, per execution, once for each that has a share."""
    shares: Sequence[UUID | None] = (None,)
    if row.per_execution:
        within = row.scope_id in chain if row.scope == "execution" else False
        shares = chain[: chain.index(row.scope_id) + 1] if within else chain
    for share in shares:
        yield AppliedBudget(
            id=row.id,
            scope=row.scope,
            scope_id=row.scope_id,
            has_money=row.has_money,
            execution_id=share,
        )
