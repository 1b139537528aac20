"""
What agents and MCP clients may call of executions.

Three of the meta-tools, and orchestrations as tools of their own.
"""

from __future__ import annotations

from executions.tools import orchestrations, reading, starting
from roles.toolkit import register_family

__all__ = ["orchestrations", "reading", "register", "starting"]


def register() -> None:
    """Let grants of orchestrations be made into tools."""
    register_family("orchestration", orchestrations.FAMILY)
