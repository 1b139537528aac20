"""
What agents and MCP clients may call of roles.

Four of the meta-tools, and the tools that functions and roles of kind `http` are.
"""

from __future__ import annotations

from roles.toolkit import register_family
from roles.tools import editing, functions, http, listing

__all__ = ["editing", "functions", "http", "listing", "register"]


def register() -> None:
    """Let grants of functions and HTTP roles be made into tools."""
    register_family("function", functions.FAMILY)
    register_family("http", http.FAMILY)
