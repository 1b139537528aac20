"""Who names a secret: roles, MCP servers and language models, whoever owns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, F, Func, JSONField, Q, Value

from roles.models import LanguageModel, McpServer, Role

_PATH = '$.** ? (@."$secret" == $name)'


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUser:
    """One thing that would be broken without the secret."""

    kind: str  # role, mcp_server or language_model
    id: str
    name: str


class Names(Func):
    """Whether a JSON column refers, at any depth, to the secret of a name."""

    function = "jsonb_path_exists"
    output_field = BooleanField()

    def __init__(self, column: str, name: str) -> None:
        path = Func(Value(_PATH), template="(%(expressions)s)::jsonpath")
        super().__init__(F(column), path, Value({"name": name}, JSONField()))


def users_of(name: str) -> list[SecretUser]:
    """List everything that refers to the secret of this name."""
    return [
        *_users("role", Role, _either(name, "config", "model_constraints")),
        *_users("mcp_server", McpServer, _either(name, "headers", "environment")),
        *_users("language_model", LanguageModel, Q(credential=name)),
    ]


def _either(name: str, first: str, second: str) -> Q:
    return Q(Names(first, name)) | Q(Names(second, name))


def _users(kind: str, model: Any, condition: Q) -> Iterator[SecretUser]:
    rows = model.objects.filter(condition).order_by("name")
    for pk, name in rows.values_list("pk", "name"):
        yield SecretUser(kind=kind, id=str(pk), name=name)
