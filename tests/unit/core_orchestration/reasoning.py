"""Patterns as a client sends them, for the tests of their expansion and validation."""

from __future__ import annotations

from typing import Any

ACCEPT = {"field": "output.score", "operator": ">=", "value": 8}
WHOLE: dict[str, dict[str, Any]] = {
    "planner_executor_reviewer": {
        "planner": "writer",
        "executor": "reader",
        "reviewer": "writer",
        "accept": ACCEPT,
    },
    "map_reduce": {"items": [1, 2], "mapper": "writer", "reducer": "reader"},
    "tree_of_thoughts": {
        "generator": "writer",
        "scorer": "reader",
        "breadth": 3,
        "depth": 2,
        "beam": 2,
    },
    "debate": {
        "creator": "writer",
        "critic": "reader",
        "threshold": 8,
        "max_rounds": 3,
    },
    "vote": {"voter": "writer", "samples": 3},
}


def pattern(kind: str, **config: Any) -> dict[str, Any]:
    """Write a pattern; what is null is left out of its config."""
    merged = {**WHOLE[kind], **config}
    kept = {name: value for name, value in merged.items() if value is not None}
    return {"key": "it", "step_type": kind, "config": kept}
