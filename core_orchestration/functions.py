"""The demo's functions, registered by name when the apps are ready."""

from __future__ import annotations

from core_orchestration.demo import (
    cleaning,
    code,
    counting,
    files,
    headlines,
    library,
    orders,
    puzzle,
    reviewing,
    support,
    writing,
)

__all__ = [
    "cleaning",
    "code",
    "counting",
    "files",
    "headlines",
    "library",
    "orders",
    "puzzle",
    "reviewing",
    "support",
    "writing",
]
