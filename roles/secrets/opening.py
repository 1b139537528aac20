"""
Fill a role's references to secrets, in the worker, just before an attempt.

What is filled lives as long as the attempt. A role without references comes back as it
is, and costs no look at the database.
"""

from __future__ import annotations

from dataclasses import replace

from roles.runners import RoleSpec, RunnerError
from roles.secrets.redaction import NOTHING, Redactor
from roles.secrets.references import filled, names_in
from roles.secrets.vault import UnknownSecret, UnreadableSecret, opened

MOST_KNOWN = 5_000

# Pinned roles are kept in memory, so that the same one comes again and again. It is
# held here, too: its number cannot become another one's meanwhile.
_known: dict[int, tuple[RoleSpec, frozenset[str]]] = {}


def opened_role(role: RoleSpec) -> tuple[RoleSpec, Redactor]:
    """
    Return the role with its secrets in place, and what takes them out of results.

    Raises RunnerError: `secret_unknown` and `secret_unreadable`, both for good.
    """
    names = names_of(role)
    if not names:
        return role, NOTHING
    try:
        values = opened(names)
    except UnknownSecret as missing:
        raise RunnerError(
            f"The role {role.name!r} names the secret {missing.name!r}, which does not "
            "exist; make it, or name another one.",
            type="secret_unknown",
            retryable=False,
        ) from None
    except UnreadableSecret as sealed:
        raise RunnerError(
            str(sealed), type="secret_unreadable", retryable=False
        ) from None
    config = {key: filled(value, values) for key, value in role.config.items()}
    return replace(role, config=config), Redactor(values)


def names_of(role: RoleSpec) -> frozenset[str]:
    """Return the names of the secrets in a role's configuration."""
    known = _known.get(id(role))
    if known is not None and known[0] is role:
        return known[1]
    names = names_in(list(role.config.values()))
    if len(_known) > MOST_KNOWN:
        _known.clear()
    _known[id(role)] = role, names
    return names
