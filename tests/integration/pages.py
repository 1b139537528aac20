"""The admin's page of an orchestration, filled in as a browser would."""

from __future__ import annotations

import json
from typing import Any

from core_orchestration.models import Orchestration

PAGES = "/admin/core_orchestration/orchestration/"


def page(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Fill in the form of a page as a browser would send it."""
    initial = sum("id" in step for step in steps)
    data = {
        "name": "Shout",
        "description": "",
        "tags": "",
        "is_active": "on",
        "input_schema": "",
        "output": "",
        "timeout_ms": "",
        "limits": "{}",
        "step_rows-TOTAL_FORMS": len(steps),
        "step_rows-INITIAL_FORMS": initial,
        "versions-TOTAL_FORMS": 0,
        "versions-INITIAL_FORMS": 0,
        **changes,
    }
    for number, step in enumerate(steps):
        for name, value in step.items():
            data[f"step_rows-{number}-{name}"] = value
    return data


def step(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "order": "",
        "key": "",
        "step_type": "sequential",
        "parallel_group": "",
        "role": "",
        "role_name": "Shouter",
        "condition": "",
        "input_mapping": "",
        "output_mapping": "",
        "on_error": "fail",
        "timeout_ms": 300000,
        "max_retries": 0,
        "retry_delay_ms": 1000,
        "retry_backoff": 1.0,
        "retry_max_delay_ms": 600000,
        "total_timeout_ms": "",
        "queue_timeout_ms": "",
        "description": "",
        "config": "{}",
        "inside": "",
        "branch": "",
        "milestone": "",
        "compensate": "",
        **changes,
    }


def stored(orchestration: Orchestration, **changes: Any) -> list[dict[str, Any]]:
    """Give the steps' forms as the page of a saved orchestration shows them."""
    forms = []
    for row in orchestration.step_rows.select_related("parent"):
        shown = step(
            row.name,
            id=str(row.pk),
            key=row.key,
            order=row.order,
            role=str(row.role_id or ""),
            role_name=row.role_name or "",
            max_retries=row.max_retries,
            step_type=row.step_type,
            config=json.dumps(row.config),
            inside=row.parent.key if row.parent else "",
            branch=row.branch or "",
            milestone=row.milestone or "",
            compensate=json.dumps(row.compensate) if row.compensate else "",
        )
        if row.on_failure:
            shown["on_failure"] = "on"
        forms.append({**shown, **changes.get(row.key, {})})
    return forms


def shown_step(response: Any, number: int) -> Any:
    assert response.status_code == 200
    return response.context["inline_admin_formsets"][0].formset.forms[number]


def step_errors(response: Any, number: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = shown_step(response, number).errors
    return found
