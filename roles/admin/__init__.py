"""Roles and API keys in Django's admin, and the form parts that the apps above use."""

from __future__ import annotations

from roles.admin.keys import ApiKeyAdmin
from roles.admin.roles import RoleAdmin

__all__ = ["ApiKeyAdmin", "RoleAdmin"]
