"""Register, change and remove MCP servers: the one way that every interface takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from roles import audit
from roles.models import McpServer, Role
from roles.problems import InvalidDocument, Problem
from roles.secrets import vault
from roles.secrets.references import names_in
from roles.servers.documents import completed, document_of, problems_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

FAMILY = "mcp"


class InvalidServer(InvalidDocument):
    """The MCP server's document is wrong."""


class CommandForbidden(Exception):
    """Workers run a server's command, so only staff may save one."""

    def __init__(self) -> None:
        super().__init__(
            "A command is run by the workers: only staff may save a server that has "
            "one. Register the server by its url, or ask an administrator."
        )


class ServerInUse(Exception):
    """The server has to stay, by its name, as long as `roles` are granted its tools."""

    def __init__(self, name: str, roles: Sequence[Role]) -> None:
        self.roles = list(roles)
        names = ", ".join(repr(role.name) for role in self.roles[:5])
        more = f" and {len(self.roles) - 5} more" if len(self.roles) > 5 else ""
        super().__init__(
            f"The MCP server {name!r} is granted to the roles {names}{more}; take "
            f"{grant_of(name)!r} out of their tools first."
        )


def grant_of(name: str) -> str:
    """Spell the entry of a role's `tools` that grants a server's tools."""
    return f"{FAMILY}:{name}"


def roles_using(name: str) -> list[Role]:
    """List the roles that are granted the tools of the server of this name."""
    return list(Role.objects.filter(tools__contains=[grant_of(name)]).order_by("name"))


def server_problems(
    document: Any,
    *,
    by: AbstractBaseUser | None = None,
    server: McpServer | None = None,
) -> list[Problem]:
    """List everything that keeps a document from being saved by `by` (as `server`)."""
    if found := problems_of(document):
        return found
    if _is_taken(document["name"], server):
        found.append(_name_taken())
    return found + _secret_problems(completed(document), by, server)


@transaction.atomic
def save_server(
    document: Any,
    *,
    by: AbstractBaseUser | None = None,
    server: McpServer | None = None,
) -> McpServer:
    """
    Make a server, or replace `server`, by a whole document.

    Fields that are left out take their defaults; `by` becomes the owner of a new one,
    and may do everything if it is None. Raises InvalidServer with every problem,
    CommandForbidden, and ServerInUse for a new name.
    """
    if problems := server_problems(document, by=by, server=server):
        raise InvalidServer(problems)
    fields = completed(document)
    check_command(fields, by)
    saved = (
        _locked(server) if server else McpServer(created_by_id=by.pk if by else None)
    )
    before = document_of(saved) if server else None
    if before and before["name"] != fields["name"]:
        _refuse_if_used(before["name"])
    vault.hold(fields["headers"], fields["environment"])
    for field, value in fields.items():
        setattr(saved, field, value)
    try:
        with transaction.atomic():
            saved.save(force_insert=server is None)
    except IntegrityError as error:  # somebody took the name in between
        raise InvalidServer([_name_taken()]) from error
    _note(saved, before)
    return saved


def patch_server(
    server: McpServer, changes: Any, *, by: AbstractBaseUser | None = None
) -> McpServer:
    """Replace the fields that `changes` names; raises as save_server does."""
    if not isinstance(changes, Mapping):
        return save_server(changes, by=by, server=server)
    whole = {**document_of(server), **changes}
    return save_server(whole, by=by, server=server)


@transaction.atomic
def delete_server(server: McpServer) -> None:
    """Remove a server that no role is granted; raises ServerInUse otherwise."""
    locked = _locked(server)
    _refuse_if_used(locked.name)
    audit.record(
        "mcp_server.delete",
        object_type="mcp_server",
        object_id=locked.pk,
        object_name=locked.name,
        before=document_of(locked),
    )
    locked.delete()


def check_command(document: Mapping[str, Any], by: AbstractBaseUser | None) -> None:
    """Raise CommandForbidden for a command that is not saved by staff."""
    if document["command"] and by is not None and not getattr(by, "is_staff", False):
        raise CommandForbidden


def _note(server: McpServer, before: Mapping[str, Any] | None) -> None:
    after = document_of(server)
    if before == after:
        return
    audit.record(
        "mcp_server.update" if before else "mcp_server.create",
        object_type="mcp_server",
        object_id=server.pk,
        object_name=server.name,
        before=before,
        after=after,
    )


def _secret_problems(
    document: Mapping[str, Any], by: AbstractBaseUser | None, server: McpServer | None
) -> list[Problem]:
    """
    List the secrets that `by` may not name.

    Nobody is asked for what stays as it is, and goes where it went: staff may have put
    a secret there.
    """
    kept = {field: document[field] for field in ("headers", "environment")}
    if not names_in(kept):
        return []
    same = {**kept, "url": document["url"], "command": document["command"]}
    if server and McpServer.objects.filter(pk=server.pk, **same).exists():
        return []
    return vault.naming_problems(by, {f"/{name}": each for name, each in kept.items()})


def _locked(server: McpServer) -> McpServer:
    locked: McpServer = McpServer.objects.select_for_update().get(pk=server.pk)
    return locked


def _refuse_if_used(name: str) -> None:
    if roles := roles_using(name):
        raise ServerInUse(name, roles)


def _is_taken(name: str, server: McpServer | None) -> bool:
    others = McpServer.objects.filter(name=name)
    return (others.exclude(pk=server.pk) if server else others).exists()


def _name_taken() -> Problem:
    return Problem("/name", "name_taken", "Another MCP server has this name.")
