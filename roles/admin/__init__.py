"""Roles and API keys in Django's admin, and the form parts that the apps above use."""

from __future__ import annotations

from roles.admin.audit import AuditEntryAdmin
from roles.admin.keys import ApiKeyAdmin
from roles.admin.models import (
    BreakerAdmin,
    LanguageModelAdmin,
    ModelChoiceAdmin,
)
from roles.admin.roles import RoleAdmin
from roles.admin.secrets import SecretAdmin
from roles.admin.servers import McpServerAdmin

__all__ = [
    "ApiKeyAdmin",
    "AuditEntryAdmin",
    "BreakerAdmin",
    "LanguageModelAdmin",
    "McpServerAdmin",
    "ModelChoiceAdmin",
    "RoleAdmin",
    "SecretAdmin",
]
