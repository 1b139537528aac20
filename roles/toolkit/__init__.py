"""What agents may call: a registry of tools, grants, and one dispatcher."""

from __future__ import annotations

from roles.toolkit.arguments import (
    Arguments,
    Document,
    as_arguments,
    parsed,
    without_defaults,
)
from roles.toolkit.base import Caller, Tool, ToolRefused
from roles.toolkit.dispatch import invoke
from roles.toolkit.policy import BudgetLimits, Policy, policy_problems
from roles.toolkit.registry import (
    META,
    Family,
    grant_problems,
    granted,
    meta_tools,
    register_family,
    tool,
)

__all__ = [
    "META",
    "Arguments",
    "BudgetLimits",
    "Caller",
    "Document",
    "Family",
    "Policy",
    "Tool",
    "ToolRefused",
    "as_arguments",
    "grant_problems",
    "granted",
    "invoke",
    "meta_tools",
    "parsed",
    "policy_problems",
    "register_family",
    "tool",
    "without_defaults",
]
