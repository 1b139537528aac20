"""
Add and change models by hand: the one way that every interface takes.

What somebody edited is noted in the row, and left alone when the catalogue is seeded
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from roles import audit
from roles.catalogue import reading
from roles.catalogue.documents import FIELDS, ModelDocument, document_of, read
from roles.models import LanguageModel, Secret
from roles.problems import InvalidDocument, Problem

_IDENTITY = ("provider", "model")


class InvalidModel(InvalidDocument):
    """The model's document is wrong."""


def model_problems(document: Any, *, row: LanguageModel | None = None) -> list[Problem]:
    """List everything that keeps a document from being saved (as `row`)."""
    return _judged(document, row)[1]


def save_model(document: Any, *, row: LanguageModel | None = None) -> LanguageModel:
    """
    Add a model, or replace `row`, by a whole document.

    Raises InvalidModel with every problem.
    """
    given, problems = _judged(document, row)
    if given is None or problems:
        raise InvalidModel(problems)
    try:
        with transaction.atomic():
            saved = _added(given) if row is None else _changed(row, given)
    except IntegrityError as error:  # somebody added it in between
        raise InvalidModel([_name_taken(given.name)]) from error
    transaction.on_commit(reading.forget)
    return saved


def patch_model(row: LanguageModel, changes: Any) -> LanguageModel:
    """Replace the fields that `changes` names; raises InvalidModel as save does."""
    if not isinstance(changes, Mapping):
        return save_model(changes, row=row)
    return save_model({**document_of(row), **changes}, row=row)


def _judged(
    document: Any, row: LanguageModel | None
) -> tuple[ModelDocument | None, list[Problem]]:
    given, problems = read(document)
    if given is None:
        return None, problems
    if row is not None:
        problems += _identity_problems(given, row)
    elif LanguageModel.objects.filter(name=given.name).exists():
        problems.append(_name_taken(given.name))
    known = Secret.objects.filter(name=given.credential)
    if given.credential and not known.exists():
        detail = f"There is no secret {given.credential!r}."
        problems.append(Problem("/credential", "unknown_secret", detail))
    return given, problems


def _identity_problems(given: ModelDocument, row: LanguageModel) -> list[Problem]:
    detail = "A model keeps its name; add another one, and set this one not active."
    stored = LanguageModel.objects.filter(pk=row.pk).values(*_IDENTITY).first() or {}
    return [
        Problem(f"/{field}", "unchangeable", detail)
        for field in _IDENTITY
        if getattr(given, field) != stored.get(field)
    ]


def _added(given: ModelDocument) -> LanguageModel:
    row = LanguageModel(name=given.name, edited=["name", *FIELDS], **given.values())
    row.save(force_insert=True)
    _note("model.create", row, None)
    return row


def _changed(row: LanguageModel, given: ModelDocument) -> LanguageModel:
    """Save what differs from what is stored: a form has changed the object already."""
    stored = LanguageModel.objects.select_for_update().get(pk=row.pk)
    before, after = document_of(stored), given.values()
    changed = [field for field in FIELDS if getattr(stored, field) != after[field]]
    if changed:
        for field in changed:
            setattr(stored, field, after[field])
        stored.edited = sorted({*stored.edited, *changed})
        stored.save()
        _note("model.update", stored, before)
    return stored


def _note(action: str, row: LanguageModel, before: Mapping[str, Any] | None) -> None:
    audit.record(
        action,
        object_type="model",
        object_id=row.pk,
        object_name=row.name,
        before=None if before is None else _noted(before),
        after=_noted(document_of(row)),
    )


def _noted(document: Mapping[str, Any]) -> dict[str, Any]:
    """Say that `credential` is a name: what is called so alone is not shown."""
    found = dict(document)
    found["credential_name"] = found.pop("credential")
    return found


def _name_taken(name: str) -> Problem:
    return Problem("/model", "name_taken", f"There is a model {name} already.")
