"""Steps that ask people, in executions that the test moves on by itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.contrib.auth.models import User

from executions import approvals, recovery
from executions.models import Approval, Execution
from tests.integration.asking import PAST, let_timer_fire
from tests.integration.engine import deliver_all, launched, role, step

FORM = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}},
    "required": ["amount"],
}


def question(key: str = "ask", **config: Any) -> dict[str, Any]:
    """Write a step that asks; fields beside its config are given as `fields`."""
    fields = config.pop("fields", {})
    return {"key": key, "step_type": "approval", "config": config, **fields}


def asking(*, of: User | None = None, behind: bool = True, **config: Any) -> Execution:
    """Start an execution that asks at once; a step stands behind the question."""
    last = [step("then", role())] if behind else []
    return begun(launched(question(**config), *last), of=of)


def begun(execution: Execution, *, of: User | None = None) -> Execution:
    """Do what is in the queues, until people are waited for."""
    Execution.objects.filter(pk=execution.pk).update(created_by=of)
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        deliver_all(broker)
    return execution


def asked(execution: Execution, path: str = "ask") -> Approval:
    """Return the newest question of a step."""
    return Approval.objects.filter(execution=execution, path=path).latest("id")


def say(
    approval: Approval, by: User | None, decision: Any = "approved", **more: Any
) -> None:
    approvals.answer(approval.pk, by=by, decision=decision, channel="api", **more)


def let_expire(execution: Execution) -> None:
    """Let the times of all that is asked be over, with nobody seeing to it."""
    Approval.objects.filter(execution=execution, decision=None).update(expires_at=PAST)
    execution.step_runs.filter(status="waiting", retry_at__isnull=False).update(
        retry_at=PAST
    )


def round_of_reconciler(execution: Execution) -> None:
    let_timer_fire(execution)
    recovery.wake_due()


def ids(execution: Execution) -> list[UUID]:
    rows = Approval.objects.filter(execution=execution).order_by("id")
    return list(rows.values_list("pk", flat=True))
