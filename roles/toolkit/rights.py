"""What a caller's user may see and change: the same as over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, User

from roles.problems import MAX_CANDIDATES, did_you_mean, quoted
from roles.toolkit.base import Caller, ToolRefused


def owner(caller: Caller) -> User | None:
    """Return the user that a caller works for, or None; raises ToolRefused."""
    if caller.user_id is None:
        return None
    user = get_user_model().objects.filter(pk=caller.user_id, is_active=True).first()
    if user is None:
        raise ToolRefused(
            "The user on whose behalf this is done is not active.", code="inactive_user"
        )
    return user


def visible(rows: Any, caller: Caller) -> Any:
    """Narrow rows to what the caller may see; for nobody, to what is shared."""
    return rows.visible_to(owner(caller) or AnonymousUser())


def is_own(row: Any, caller: Caller) -> bool:
    """Tell whether an agent made this row: in this execution, or as this role."""
    made_by, actor = row.provenance or {}, caller.actor
    if actor.execution_id is None or row.created_by_id != caller.user_id:
        return False
    if made_by.get("execution_id") == actor.execution_id:
        return True
    return bool(actor.role_name) and made_by.get("role_name") == actor.role_name


def named(
    rows: Any, what: str, *, id_: UUID | None = None, name: str | None = None
) -> Any:
    """Return the row with this id or name; raises ToolRefused, with what is near."""
    if (id_ is None) == (name is None):
        raise ToolRefused(
            f"Name the {what} by `id` or by `name`, by one of them.",
            code="invalid_arguments",
        )
    found = rows.filter(pk=id_) if id_ else rows.filter(name=name)
    row = found.first()
    if row is not None:
        return row
    hint = ""
    if name is not None:
        names = rows.order_by("name").values_list("name", flat=True)
        hint = did_you_mean(name, names[:MAX_CANDIDATES])
    wanted = f"with the id {id_}" if id_ else quoted(name)
    raise ToolRefused(f"There is no {what} {wanted}.{hint}", code="not_found")


def held(
    rows: Any,
    caller: Caller,
    what: str,
    *,
    id_: UUID | None = None,
    name: str | None = None,
) -> Any:
    """
    Lock a row that the caller may change, inside a transaction.

    What is shared belongs to nobody: callers without a user change only what they
    made. Raises ToolRefused.
    """
    seen = visible(rows, caller)
    known = named(seen, what, id_=id_, name=name)
    locked = rows.select_for_update(of=("self",)).filter(pk=known.pk)
    row = named(locked, what, id_=known.pk)
    user = owner(caller)
    if user is None:
        may = is_own(row, caller)
    else:
        may = seen.editable_by(user).filter(pk=row.pk).exists()
    if not may:
        raise ToolRefused(
            f"You may use the {what} {row.name!r}, and may not change it: "
            "it belongs to somebody else.",
            code="permission_denied",
        )
    return row
