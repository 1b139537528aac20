"""What agents and MCP clients may call of orchestrations: five of the meta-tools."""

from __future__ import annotations

from core_orchestration.tools import editing, reading

__all__ = ["editing", "reading"]
