"""What an execution came to, as callers of tools are told; and waiting for its end."""

from __future__ import annotations

import asyncio
import json
from time import monotonic
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder

from executions import record
from executions.models import Execution
from executions.states import TERMINAL_EXECUTION
from roles.toolkit.threads import in_thread

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


async def outcome(execution: Execution, *, wait_ms: int) -> dict[str, Any]:
    """
    Wait for an execution's end, and say what it came to by then.

    No thread and no connection is held meanwhile.
    """
    until = monotonic() + wait_ms / 1000
    pause = FIRST_PAUSE_S
    status = str(execution.status)
    while status not in TERMINAL_EXECUTION and (left := until - monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE_S)
        status = await in_thread(_status, execution.pk)
    return await in_thread(_written, execution.pk)


def _status(execution_id: UUID) -> str:
    found: str = Execution.objects.values_list("status", flat=True).get(pk=execution_id)
    return found


def _written(execution_id: UUID) -> dict[str, Any]:
    rows = Execution.objects.select_related("orchestration", "version", "created_by")
    execution = rows.defer("version__definition").get(pk=execution_id)
    told = {"execution_id": str(execution.pk), "status": execution.status}
    if execution.status not in TERMINAL_EXECUTION:
        return told
    detail = record.detail(execution)
    told |= {"output": detail["output"]}
    if detail["error"]:
        told |= {"error": detail["error"]}
    return dict(plain(told))


def plain(value: Any) -> Any:
    """Write times and ids as JSON has them."""
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))
