"""Lists for callers of tools: narrowed as REST narrows them, page by page."""

from __future__ import annotations

from typing import Any

from django.utils.datastructures import MultiValueDict
from django_filters.rest_framework import FilterSet
from pydantic import Field

from roles.problems import Problem, child
from roles.toolkit import Arguments, ToolRefused

MOST = 100
_PAGING = {"limit", "cursor"}


class Page(Arguments):
    """The arguments of all lists."""

    limit: int = Field(50, ge=1, le=MOST)
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")


def narrowed(filters: type[FilterSet], rows: Any, arguments: Page) -> FilterSet:
    """Return the filters of a list, filled in and sound; raises ToolRefused."""
    given = arguments.model_dump(mode="json", exclude_none=True, exclude=_PAGING)
    chosen = filters(
        MultiValueDict({name: _texts(value) for name, value in given.items()}),
        queryset=rows,
    )
    if not chosen.is_valid():
        problems = [
            Problem(child("", name), error.code or "invalid", error.messages[0])
            for name, errors in chosen.form.errors.as_data().items()
            for error in errors
        ]
        first = problems[0]
        raise ToolRefused(
            f"{first.pointer}: {first.detail}", code="invalid", problems=problems
        )
    return chosen


def chosen(filters: type[FilterSet], rows: Any, arguments: Page) -> Any:
    """Narrow rows by the arguments that are given."""
    return narrowed(filters, rows, arguments).qs


def page_by_name(
    rows: Any, limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    """Return rows in the order of their unique names, and where to go on."""
    if cursor is not None:
        rows = rows.filter(name__gt=cursor)
    found = list(rows.order_by("name")[: limit + 1])
    following = found[limit - 1].name if len(found) > limit else None
    return found[:limit], following


def _texts(value: Any) -> list[str]:
    """Spell a value as it would stand in an address."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(each) for each in (value if isinstance(value, list) else [value])]
