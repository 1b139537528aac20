"""
Keep secrets and hand them out: the one way in, and the one way out.

Values go in encrypted and come out for a moment, in the process that needs them; what
was read is remembered for a few seconds, so that a crowd of steps asks once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from roles import audit
from roles.models import Secret
from roles.problems import InvalidDocument, Problem
from roles.runners.addresses import parse_allowed
from roles.runners.secret_text import SecretText
from roles.secrets import cipher
from roles.secrets.documents import DEFAULTS, document_of, problems_of
from roles.secrets.references import names_in, references_in
from roles.secrets.usage import SecretUser, users_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

REMEMBERED_S = 5.0
MOST_REMEMBERED = 1_000

_remembered: dict[str, tuple[float, SecretText]] = {}


class InvalidSecret(InvalidDocument):
    """The secret's document is wrong."""


class UnknownSecret(LookupError):
    """There is no secret `name`, or it is nobody's business that there is."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no secret {name!r}.")


class UnreadableSecret(ValueError):
    """No key opens the secret `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"The secret {name!r} was encrypted with a key that {cipher.SETTING} does "
            "not hold any more; put the key back, or save the value anew."
        )


class SecretInUse(Exception):
    """The secret must keep its name as long as `users` refer to it by that."""

    def __init__(self, name: str, users: Sequence[SecretUser]) -> None:
        self.users = list(users)
        names = ", ".join(f"{each.kind} {each.name!r}" for each in self.users[:5])
        more = f" and {len(self.users) - 5} more" if len(self.users) > 5 else ""
        super().__init__(
            f"The secret {name!r} is named by {names}{more}; let these name another "
            "one first."
        )


def secret_problems(document: Any, *, secret: Secret | None = None) -> list[Problem]:
    """List everything that keeps a document from being saved (as `secret`)."""
    found = problems_of(document, is_new=secret is None)
    if not found and _is_taken(document["name"], secret):
        found.append(_name_taken())
    return found


@transaction.atomic
def save_secret(
    document: Any, *, by: AbstractBaseUser | None = None, secret: Secret | None = None
) -> Secret:
    """
    Make a secret, or replace `secret`, by a whole document.

    Without a `value` a secret keeps the one it has. `by` becomes the owner of a new
    one. Raises InvalidSecret with every problem, and SecretInUse for a new name.
    """
    if problems := secret_problems(document, secret=secret):
        raise InvalidSecret(problems)
    saved = _locked(secret) if secret else Secret(created_by_id=by.pk if by else None)
    before = document_of(saved) if secret else None
    if secret and document["name"] != saved.name:
        _refuse_if_used(saved.name)
    for field in ("name", *DEFAULTS):
        setattr(saved, field, document.get(field, DEFAULTS.get(field)))
    if "value" in document:
        saved.ciphertext = cipher.seal(document["value"])
    try:
        with transaction.atomic():
            saved.save(force_insert=secret is None)
    except IntegrityError as error:  # somebody took the name in between
        raise InvalidSecret([_name_taken()]) from error
    forget(saved.name, *([before["name"]] if before else []))
    audit.record(
        "secret.update" if secret else "secret.create",
        object_type="secret",
        object_id=saved.pk,
        object_name=saved.name,
        before=before,
        after=document_of(saved),
        detail="The value was replaced." if secret and "value" in document else "",
    )
    return saved


def patch_secret(
    secret: Secret, changes: Any, *, by: AbstractBaseUser | None = None
) -> Secret:
    """Replace the fields that `changes` names; raises as save_secret does."""
    if not isinstance(changes, Mapping):
        return save_secret(changes, by=by, secret=secret)
    return save_secret({**document_of(secret), **changes}, by=by, secret=secret)


@transaction.atomic
def delete_secret(secret: Secret) -> None:
    """
    Remove a secret that nothing names; raises SecretInUse otherwise.

    The row's lock keeps those waiting who are about to name it.
    """
    locked = _locked(secret)
    _refuse_if_used(locked.name)
    audit.record(
        "secret.delete",
        object_type="secret",
        object_id=locked.pk,
        object_name=locked.name,
        before=document_of(locked),
    )
    locked.delete()
    forget(locked.name)


def opened(names: Collection[str]) -> dict[str, SecretText]:
    """
    Return the values of secrets, all read by one statement, or none by any.

    What another process changed is seen after REMEMBERED_S seconds. Raises
    UnknownSecret and UnreadableSecret.
    """
    now = monotonic()
    found = {name: value for name in names if (value := _recall(name, now)) is not None}
    if missing := sorted(set(names) - found.keys()):
        found |= _read(missing, now)
    for name in missing:
        if name not in found:
            raise UnknownSecret(name)
    return found


def may_name(user: AbstractBaseUser | None, names: Iterable[str]) -> None:
    """
    Raise UnknownSecret for a name that a user may not put into configuration.

    Whether another one's secret has the name is not told. The system may name any.
    """
    if hidden := _hidden_from(user, frozenset(names)):
        raise UnknownSecret(min(hidden))


def naming_problems(
    user: AbstractBaseUser | None, fields: Mapping[str, Any]
) -> list[Problem]:
    """List the references to what `user` may not name; `fields` go by their pointer."""
    named = [
        each for place, value in fields.items() for each in references_in(value, place)
    ]
    hidden = _hidden_from(user, frozenset(name for _, name in named))
    return [
        Problem(place, "unknown_secret", str(UnknownSecret(name)))
        for place, name in named
        if name in hidden
    ]


def hold(*values: Any) -> None:
    """
    Keep what these values refer to from being deleted, until the transaction ends.

    Whoever saves configuration holds first and saves then; costs nothing without
    references.
    """
    if names := names_in(values):
        rows = Secret.objects.filter(name__in=names).order_by("name")
        list(rows.select_for_update(no_key=True).values_list("pk"))


def forget(*names: str) -> None:
    """Read these secrets anew when they are next asked for; all, if none is named."""
    for name in names or list(_remembered):
        _remembered.pop(name, None)


def _read(names: Sequence[str], now: float) -> dict[str, SecretText]:
    rows = Secret.objects.filter(name__in=names)
    found = {}
    for name, sealed, hosts in rows.values_list("name", "ciphertext", "allowed_hosts"):
        try:
            value = cipher.unseal(sealed)
        except cipher.Unreadable:
            raise UnreadableSecret(name) from None
        found[name] = SecretText(value, name=name, hosts=parse_allowed(hosts))
    if len(_remembered) > MOST_REMEMBERED:
        forget()
    _remembered.update({name: (now, value) for name, value in found.items()})
    return found


def _recall(name: str, now: float) -> SecretText | None:
    at, value = _remembered.get(name, (0.0, None))
    return value if value is not None and now - at < REMEMBERED_S else None


def _hidden_from(
    user: AbstractBaseUser | None, names: frozenset[str]
) -> frozenset[str]:
    if user is None or not names:
        return frozenset()
    seen = Secret.objects.visible_to(user).filter(name__in=names)
    return names - set(seen.values_list("name", flat=True))


def _locked(secret: Secret) -> Secret:
    locked: Secret = Secret.objects.select_for_update().get(pk=secret.pk)
    return locked


def _refuse_if_used(name: str) -> None:
    if users := users_of(name):
        raise SecretInUse(name, users)


def _is_taken(name: str, secret: Secret | None) -> bool:
    others = Secret.objects.filter(name=name)
    return (others.exclude(pk=secret.pk) if secret else others).exists()


def _name_taken() -> Problem:
    return Problem("/name", "name_taken", "Another secret has this name.")
