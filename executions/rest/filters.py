"""How the history of executions is narrowed: in addresses, bodies and commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.datastructures import MultiValueDict
from django_filters import rest_framework as filters

from executions.models import Execution
from executions.states import ExecutionStatus
from roles.problems import (
    InvalidDocument,
    Problem,
    child,
    did_you_mean,
    kind_of,
    quoted,
)
from roles.rest.filters import MomentFilter, WordsFilter

_HEX = re.compile(r"[0-9a-fA-F]{1,32}")


class ExecutionFilter(filters.FilterSet):
    status = WordsFilter(
        method="of_status",
        known=tuple(ExecutionStatus),
        help_text="Any of these: repeat the parameter or use commas.",
    )
    orchestration = filters.CharFilter(
        method="of_orchestration", help_text="The id or the exact name."
    )
    created_after = MomentFilter("created_at", "gte")
    created_before = MomentFilter("created_at", "lt")
    search = filters.CharFilter(
        method="matching",
        help_text="Part of the orchestration's name, or how the id begins.",
    )

    class Meta:
        model = Execution
        fields = ()

    def of_status(
        self, rows: QuerySet[Execution], name: str, value: list[str]
    ) -> QuerySet[Execution]:
        return rows.filter(status__in=value) if value else rows

    def of_orchestration(
        self, rows: QuerySet[Execution], name: str, value: str
    ) -> QuerySet[Execution]:
        try:
            return rows.filter(orchestration_id=UUID(value))
        except ValueError:
            return rows.filter(orchestration__name=value)

    def matching(
        self, rows: QuerySet[Execution], name: str, value: str
    ) -> QuerySet[Execution]:
        wanted = Q(orchestration__name__icontains=value)
        if (ids := ids_beginning_with(value)) is not None:
            wanted |= Q(id__range=ids)
        return rows.filter(wanted)


def ids_beginning_with(text: str) -> tuple[UUID, UUID] | None:
    """Return the lowest and the highest id that begin so, if any can."""
    digits = text.replace("-", "")
    if not _HEX.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def narrow(
    rows: QuerySet[Execution], criteria: Mapping[str, Any]
) -> QuerySet[Execution]:
    """
    Narrow by the list's own filters, each a text or, for `status`, a list of texts.

    At least one must say something, lest everything be taken for what was meant.
    Raises InvalidDocument, with pointers into `criteria`.
    """
    if problems := [p for each in criteria.items() for p in _misused(*each)]:
        raise InvalidDocument(problems)
    given = {
        name: value if isinstance(value, list) else [value]
        for name, value in criteria.items()
    }
    chosen = ExecutionFilter(MultiValueDict(given), queryset=rows)
    if not chosen.is_valid():
        raise InvalidDocument(
            [
                Problem(child("", name), error.code or "invalid", error.messages[0])
                for name, errors in chosen.form.errors.as_data().items()
                for error in errors
            ]
        )
    if not any(chosen.form.cleaned_data.values()):
        names = ", ".join(ExecutionFilter.base_filters)
        detail = f"Narrow by at least one of {names}; nothing means everything here."
        raise InvalidDocument([Problem("", "required", detail)])
    narrowed: QuerySet[Execution] = chosen.qs
    return narrowed


def _misused(name: str, value: Any) -> list[Problem]:
    known = ExecutionFilter.base_filters
    if name not in known:
        detail = f"There is no filter {quoted(name)}.{did_you_mean(name, known)}"
        return [Problem(child("", name), "unknown_field", detail)]
    texts = value if name == "status" and isinstance(value, list) else [value]
    if all(isinstance(text, str) for text in texts):
        return []
    wanted = "text or a list of texts" if name == "status" else "text"
    detail = f"This must be {wanted}, not {kind_of(value)}."
    return [Problem(child("", name), "wrong_type", detail)]
