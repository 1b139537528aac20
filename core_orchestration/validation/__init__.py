"""
Everything that is wrong with a definition, an input or a schema, said at once.

validate(document, RoleDirectory.of({role_id: role_name}))  # -> list[Problem]
"""

from __future__ import annotations

from roles.problems import Problem
from roles.schemas import schema_problems
from roles.storable import storable_problems

from .directory import OrchestrationDirectory, RoleDirectory
from .document import MAX_STEPS, validate
from .inputs import check_input
from .limits import CEILINGS
from .steps import SUPPORTED

__all__ = [
    "CEILINGS",
    "MAX_STEPS",
    "SUPPORTED",
    "OrchestrationDirectory",
    "Problem",
    "RoleDirectory",
    "check_input",
    "schema_problems",
    "storable_problems",
    "validate",
]
