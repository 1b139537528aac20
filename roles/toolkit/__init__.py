"""What agents may call: a registry of tools, grants, and one dispatcher."""

from __future__ import annotations

from roles.toolkit.base import Caller, Tool, ToolRefused
from roles.toolkit.dispatch import invoke
from roles.toolkit.policy import BudgetLimits, Policy
from roles.toolkit.registry import (
    META,
    Family,
    grant_problems,
    granted,
    meta_tools,
    parsed,
    register_family,
    tool,
)

__all__ = [
    "META",
    "BudgetLimits",
    "Caller",
    "Family",
    "Policy",
    "Tool",
    "ToolRefused",
    "grant_problems",
    "granted",
    "invoke",
    "meta_tools",
    "parsed",
    "register_family",
    "tool",
]
