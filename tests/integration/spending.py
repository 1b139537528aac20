"""Calls, budgets and reservations for the tests of what agents spend."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from executions.lifecycle import Claim
from executions.models import Budget, BudgetAccount, Execution, Reservation
from executions.spending import budgets, ledger
from executions.spending.budgets import AppliedBudget, Scene, Verdict
from executions.spending.ledger import Call
from roles.models import Role
from roles.runners.hosting import CallUsage
from tests.integration.engine import claimed, launched, now_of, step

USAGE = CallUsage(
    input_tokens=100,
    cached_tokens=40,
    output_tokens=20,
    reasoning_tokens=5,
    tool_calls=1,
)


def agent() -> str:
    """Make a role that asks models, and return its name."""
    name = f"Agent {uuid4()}"
    Role.objects.create(name=name, kind="agent", base_prompt="You spend.")
    return name


def running(**fields: Any) -> Claim:
    """Start an execution of one step, and claim that."""
    execution = launched(step("a", agent()))
    Execution.objects.filter(pk=execution.pk).update(**fields)
    return claimed(now_of(execution), "a")


def call(claim: Claim, **fields: Any) -> Call:
    """Make a call of a claimed step, of 120 tokens and half a dollar."""
    run = claim.run
    execution = Execution.objects.get(pk=run.execution_id)
    given: dict[str, Any] = {
        "call_id": uuid4(),
        "execution_id": run.execution_id,
        "step_run_id": run.id,
        "path": run.path,
        "attempt": claim.attempt,
        "fence": claim.fence,
        "orchestration_id": execution.orchestration_id,
        "role_id": Role.objects.get(name=run.role_name).pk,
        "role_name": run.role_name,
        "api_key_id": execution.api_key_id,
        "created_by_id": execution.created_by_id,
        "provider": "openai",
        "model": "gpt-5-mini",
        "choice": "",
        "usage": USAGE,
        "cost": Decimal("0.5"),
        **fields,
    }
    return Call(**given)


def recorded(claim: Claim, **fields: Any) -> Call:
    made = call(claim, **fields)
    ledger.record([made])
    return made


def budget(scope: str = "role", scope_id: UUID | None = None, **fields: Any) -> Budget:
    """Make a budget, of ten dollars unless it says otherwise."""
    if not {"money", "tokens", "requests"} & fields.keys():
        fields["money"] = Decimal(10)
    made = Budget.objects.create(scope=scope, scope_id=scope_id or uuid4(), **fields)
    budgets.forget()
    return made


def applied(*made: Budget, share: UUID | None = None) -> list[AppliedBudget]:
    return [
        AppliedBudget(
            id=each.pk,
            scope=each.scope,
            scope_id=each.scope_id,
            has_money=each.money is not None,
            execution_id=share,
        )
        for each in made
    ]


def reserve(
    *made: Budget,
    money: int | str | None = 1,
    call_id: UUID | None = None,
    claim: Claim | None = None,
    share: UUID | None = None,
    **fields: Any,
) -> Verdict:
    """Reserve a dollar, a hundred tokens and a request, or what is given."""
    given: dict[str, Any] = {
        "call_id": call_id or uuid4(),
        "step_run_id": claim.run.id if claim else uuid4(),
        "fence": claim.fence if claim else 1,
        "budgets": applied(*made, share=share),
        "money": None if money is None else Decimal(money),
        "tokens": 100,
        "requests": 1,
        "seconds": 60.0,
        **fields,
    }
    return budgets.reserve(**given)


def account_of(made: Budget) -> BudgetAccount:
    return BudgetAccount.objects.get(budget=made)


def spent_of(made: Budget) -> tuple[float, int, int]:
    """Return what its one account has: money, tokens and requests."""
    account = account_of(made)
    return float(account.money), account.tokens, account.requests


def reserved_of(made: Budget) -> list[Reservation]:
    return list(Reservation.objects.filter(account__budget=made).order_by("id"))


def scene_of(claim: Claim, *above: UUID) -> Scene:
    execution = Execution.objects.get(pk=claim.run.execution_id)
    return Scene(
        role_id=Role.objects.get(name=claim.run.role_name).pk,
        orchestration_id=execution.orchestration_id,
        api_key_id=execution.api_key_id,
        execution_ids=(execution.pk, *above),
    )
