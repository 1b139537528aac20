"""Put the domain's problems where people look: at the field that caused each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from roles.problems import Problem


def show(
    form: forms.BaseForm,
    problems: Iterable[Problem],
    *,
    spelled: Mapping[str, str] | None = None,
) -> None:
    """
    Add each problem to the form's field of its pointer, else to the whole form.

    `spelled` maps a name in the document to the form's field of another name. What
    lies deeper inside a field is named in the message.
    """
    for problem in problems:
        name, _, inside = problem.pointer.removeprefix("/").partition("/")
        field = (spelled or {}).get(name, name)
        known = field in form.fields
        place = f"/{inside}" if known and inside else "" if known else problem.pointer
        text = f"{place}: {problem.detail}" if place else problem.detail
        form.add_error(
            field if known else None, forms.ValidationError(text, code=problem.code)
        )


def completed(
    cleaned: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Take the default for every field that was left empty."""
    return {
        name: defaults.get(name) if value is None or value == "" else value
        for name, value in cleaned.items()
    }
