"""Who works, who may ask, with what, and what came of it."""

from __future__ import annotations

from roles.models.audit import AuditEntry
from roles.models.catalogue import Breaker, LanguageModel, ModelChoice
from roles.models.digests import content_digest
from roles.models.keys import ApiKey
from roles.models.ownership import Owned, OwnedQuerySet
from roles.models.roles import Role, RoleSnapshot
from roles.models.secrets import Secret
from roles.models.servers import McpServer

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Breaker",
    "LanguageModel",
    "McpServer",
    "ModelChoice",
    "Owned",
    "OwnedQuerySet",
    "Role",
    "RoleSnapshot",
    "Secret",
    "content_digest",
]
