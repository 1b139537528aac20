"""How the history of executions is narrowed: in addresses, bodies and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.datastructures import MultiValueDict
from django_filters import rest_framework as filters

from core_orchestration.models import Orchestration
from executions.listing import Kind, Listing
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

# An id has the clock of who made it, `created_at` that of the database; what differs by
# more is not found by its time.
_CLOCKS_DIFFER_MS = 5 * 60_000
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
    created_after = MomentFilter(method="since")
    created_before = MomentFilter(method="until")
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
        return rows.filter(orchestration__in=orchestrations_called(value))

    def since(
        self, rows: QuerySet[Execution], name: str, value: datetime
    ) -> QuerySet[Execution]:
        return rows.filter(
            created_at__gte=value, id__gte=_id_at(value, -_CLOCKS_DIFFER_MS)
        )

    def until(
        self, rows: QuerySet[Execution], name: str, value: datetime
    ) -> QuerySet[Execution]:
        return rows.filter(
            created_at__lt=value, id__lt=_id_at(value, _CLOCKS_DIFFER_MS)
        )

    def matching(
        self, rows: QuerySet[Execution], name: str, value: str
    ) -> QuerySet[Execution]:
        named = Orchestration.objects.filter(name__icontains=value)
        wanted = Q(orchestration__in=named)
        if (ids := ids_beginning_with(value)) is not None:
            wanted |= Q(id__range=ids)
        return rows.filter(wanted)

    def listing(self, of: Sequence[Kind]) -> Listing:
        """
        List what fits of these kinds, without reading much else.

        Only for what is valid. The methods above say what fits, for whoever has no
        use for an order; this must say the same.
        """
        given = self.form.cleaned_data
        kinds = [replace(kind, rows=self._of_time(kind.rows)) for kind in of]
        kinds = [part for kind in kinds for part in _searched(kind, given)]
        shown: Any = self.queryset
        return Listing(shown=shown, kinds=tuple(kinds))

    def _of_time(self, rows: QuerySet[Execution]) -> QuerySet[Execution]:
        for narrow, name in (
            (self.since, "created_after"),
            (self.until, "created_before"),
        ):
            if moment := self.form.cleaned_data[name]:
                rows = narrow(rows, name, moment)
        return rows


def orchestrations_called(text: str) -> QuerySet[Orchestration]:
    """Return those with this id, or with exactly this name: archived ones keep it."""
    known = Orchestration.objects.order_by()
    try:
        return known.filter(pk=UUID(text))
    except ValueError:
        return known.filter(name=text)


def _searched(kind: Kind, given: Mapping[str, Any]) -> Iterator[Kind]:
    """Divide a kind by what is given but times: at most into two."""
    of = given["orchestration"]
    named = orchestrations_called(of) if of else None
    kind = replace(kind, statuses=given["status"], orchestrations=named)
    if not (text := given["search"]):
        yield kind
        return
    if (ids := ids_beginning_with(text)) is not None:
        yield replace(kind, rows=kind.rows.filter(id__range=ids))
    found = Orchestration.objects.order_by() if named is None else named
    yield replace(kind, orchestrations=found.filter(name__icontains=text))


def _id_at(moment: datetime, later_ms: int) -> UUID:
    """Return the lowest id that is made so many milliseconds later."""
    return UUID(int=max(0, int(moment.timestamp() * 1000) + later_ms) << 80)


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
