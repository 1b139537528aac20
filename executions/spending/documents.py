"""
Budgets as documents: checked as a whole, saved, changed and taken away on record.

Whoever may change a thing may limit it; whoever made a budget may change that, and
staff may do all. What a budget is for stays as it is: a limit does not move elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, transaction

from core_orchestration.models import Orchestration
from executions.models import Budget, Execution
from executions.spending import accounts, applicable
from executions.spending.checks import CHECKS
from executions.spending.raising import raised
from roles import audit
from roles.models import ApiKey, Role
from roles.problems import (
    InvalidDocument,
    Problem,
    child,
    did_you_mean,
    kind_of,
    quoted,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

READ_ONLY = frozenset({"id", "created_at", "updated_at", "accounts", "created_by"})
DEFAULTS: Mapping[str, Any] = {
    "period": "total",
    "per_execution": False,
    "money": None,
    "tokens": None,
    "requests": None,
    "soft_percent": 80,
    "on_soft": "event",
    "on_hard": "wait",
    "is_active": True,
}
PLACE = ("scope", "scope_id", "period", "per_execution")
FIELDS = ("scope", "scope_id", *DEFAULTS)
_LIMITS = ("money", "tokens", "requests")


class InvalidBudget(InvalidDocument):
    """The budget's document is wrong."""


def document_of(budget: Budget) -> dict[str, Any]:
    """Write a budget's editable fields as the document that would make it again."""
    shown = {name: getattr(budget, name) for name in FIELDS}
    money = None if budget.money is None else str(budget.money)
    return shown | {"scope_id": str(budget.scope_id), "money": money}


def problems_of(document: Any) -> list[Problem]:
    """List everything that is wrong with a budget's document in itself."""
    if not isinstance(document, dict):
        detail = f"A budget is an object, not {kind_of(document)}."
        return [Problem("", "wrong_type", detail)]
    found = list(_wrong_fields(document))
    for name in FIELDS:
        if name in document:
            detail = CHECKS[name](document[name])
            if detail:
                found.append(Problem(f"/{name}", "invalid", detail))
    if all(document.get(name) is None for name in _LIMITS):
        detail = "A budget limits at least one of money, tokens and requests."
        found.append(Problem("", "required", detail))
    return found


def faults(document: Any, *, by: User | None, budget: Budget | None) -> list[Problem]:
    """List everything that keeps a document from being saved; nobody may do all."""
    return problems_of(document) or _misplaced(document, by, budget)


def save(document: Any, *, by: User, budget: Budget | None = None) -> Budget:
    """
    Make a budget, or replace `budget`, by a whole document; `by` owns a new one.

    Raises InvalidBudget with every problem. What waits for it is looked at again.
    """
    if found := faults(document, by=by, budget=budget):
        raise InvalidBudget(found)
    before = document_of(budget) if budget else None
    saved = budget or Budget(created_by=by)
    given = {name: document[name] for name in FIELDS if name in document}
    for name, value in {**DEFAULTS, **given}.items():
        setattr(saved, name, value)
    saved.money = None if saved.money is None else Decimal(str(saved.money))
    saved.scope_id = UUID(str(saved.scope_id))
    try:
        with transaction.atomic():
            saved.save(force_insert=budget is None)
            _note("budget.update" if budget else "budget.create", saved, before)
            if budget:
                accounts.tell_again(saved.pk)
                raised(saved.pk)
    except IntegrityError as error:
        raise InvalidBudget([_taken()]) from error
    transaction.on_commit(applicable.forget)
    return saved


def patch(budget: Budget, changes: Any, *, by: User) -> Budget:
    """Replace the fields that `changes` names; raises InvalidBudget as save does."""
    if not isinstance(changes, Mapping):
        return save(changes, by=by, budget=budget)
    return save({**document_of(budget), **changes}, by=by, budget=budget)


@transaction.atomic
def remove(budget: Budget) -> None:
    """Take a budget away with its accounts; what waits for it goes on."""
    raised(budget.pk)
    audit.record(
        "budget.delete",
        object_type="budget",
        object_id=budget.pk,
        object_name=str(budget),
        before=document_of(budget),
    )
    accounts.hold_all(budget.pk)
    budget.delete()
    transaction.on_commit(applicable.forget)


def _note(action: str, saved: Budget, before: Mapping[str, Any] | None) -> None:
    audit.record(
        action,
        object_type="budget",
        object_id=saved.pk,
        object_name=str(saved),
        before=before,
        after=document_of(saved),
    )


def _wrong_fields(document: Mapping[str, Any]) -> Iterator[Problem]:
    for name in document:
        if name not in FIELDS and name not in READ_ONLY:
            detail = (
                f"A budget has no field {quoted(name)}.{did_you_mean(name, FIELDS)}"
            )
            yield Problem(child("", name), "unknown_field", detail)
    for name in ("scope", "scope_id"):
        if name not in document:
            yield Problem("", "required", f"A budget needs a {name}.")


def _misplaced(
    document: Mapping[str, Any], by: User | None, budget: Budget | None
) -> list[Problem]:
    if budget is None:
        return list(_out_of_reach(document, by))
    now, wanted = document_of(budget), {**DEFAULTS, **document}
    detail = "What a budget is for stays as it is; make another budget."
    return [
        Problem(f"/{name}", "fixed", detail)
        for name in PLACE
        if str(wanted[name]).lower() != str(now[name]).lower()
    ]


def _out_of_reach(document: Mapping[str, Any], by: User | None) -> Iterator[Problem]:
    scope = document["scope"]
    if not _rows(scope, by).filter(pk=document["scope_id"]).exists():
        word = scope.replace("_", " ")
        detail = f"There is no {word} with this id that you may change."
        yield Problem("/scope_id", "unknown_id", detail)
    place = {name: {**DEFAULTS, **document}[name] for name in PLACE}
    if Budget.objects.filter(**place).exists():
        yield _taken()


def _rows(scope: str, by: User | None) -> Any:
    """Return what somebody may limit."""
    models: Mapping[str, Any] = {
        "role": Role,
        "orchestration": Orchestration,
        "execution": Execution,
        "api_key": ApiKey,
    }
    rows = models[scope].objects.all()
    if by is None or by.is_staff:
        return rows
    return rows.filter(user=by) if scope == "api_key" else rows.editable_by(by)


def _taken() -> Problem:
    detail = (
        "There is a budget for this in the same period already; change that one, or ask "
        "who made it."
    )
    return Problem("/scope_id", "budget_exists", detail)
