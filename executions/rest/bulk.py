"""Many executions, steered in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from executions import bulk
from executions.bulk import Came, Item, Order, Report
from executions.rest.filters import narrow
from executions.rest.serializers import BulkReportSerializer, BulkSerializer
from roles.problems import (
    InvalidDocument,
    Problem,
    child,
    did_you_mean,
    listing,
    quoted,
)
from roles.rest.bodies import fields_of
from roles.rest.resources import Resource

FIELDS: Mapping[str, type] = {
    "action": str,
    "ids": list,
    "filter": dict,
    "reason": str,
    "dry_run": bool,
}
MAX_SHOWN = 100


class BulkActions(Resource):
    """One verb for many executions."""

    @extend_schema(
        summary="Steer many executions at once",
        description="By `ids` or by `filter`, the oldest first and at most "
        f"{bulk.LIMIT:,} in one request; `remaining` says how many matched beyond. "
        "Each is done by itself: what one refuses does not stop the others.",
        request=BulkSerializer,
        responses=BulkReportSerializer,
    )
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def bulk(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = _order(request.data)
        mine = self.get_queryset().editable_by(self.caller)
        chosen, missing = _chosen(mine, given)
        order = Order(
            verb=given["action"],
            by=self.caller.get_username(),
            user=self.caller,
            reason=given.get("reason"),
        )
        report = bulk.apply(order, chosen, dry_run=given.get("dry_run", False))
        return Response(_shown(report, missing))


def _order(body: Any) -> dict[str, Any]:
    given = fields_of(body, FIELDS, required=["action"])
    verb = given["action"]
    if verb not in bulk.VERBS:
        detail = f"{quoted(verb)} is none of {listing(bulk.VERBS)}."
        detail += did_you_mean(verb, bulk.VERBS)
        raise InvalidDocument([Problem("/action", "unknown_value", detail)])
    if ("ids" in given) == ("filter" in given):
        detail = "Give either ids or a filter."
        raise InvalidDocument([Problem("", "ids_or_filter", detail)])
    return given


def _chosen(rows: Any, given: Mapping[str, Any]) -> tuple[Any, list[Item]]:
    """Return the rows that are meant, and the ids of which there are none."""
    if "ids" not in given:
        return _narrowed(rows, given["filter"]), []
    ids = _ids(given["ids"])
    chosen = rows.filter(pk__in=ids)
    found = set(chosen.values_list("pk", flat=True))
    return chosen, [bulk.missing(each) for each in ids if each not in found]


def _narrowed(rows: Any, criteria: Mapping[str, Any]) -> Any:
    try:
        return narrow(rows, criteria)
    except InvalidDocument as invalid:
        raise InvalidDocument(
            [
                Problem(f"/filter{each.pointer}", each.code, each.detail)
                for each in invalid.problems
            ]
        ) from None


def _ids(given: list[Any]) -> list[UUID]:
    """Read the ids, each once."""
    ids: dict[UUID, None] = {}
    problems = []
    for place, text in enumerate(given):
        try:
            ids[UUID(text)] = None
        except (ValueError, AttributeError, TypeError):
            detail = f"{quoted(text)} is not an id."
            problems.append(Problem(child("/ids", place), "invalid_id", detail))
    if problems:
        raise InvalidDocument(problems[:MAX_SHOWN])
    return list(ids)


def _shown(report: Report, missing: list[Item]) -> dict[str, Any]:
    refused = [
        {"id": str(item.id), "code": item.code, "detail": item.detail}
        for item in [*missing, *report.refused][:MAX_SHOWN]
    ]
    return {
        "matched": report.matched,
        "done": report.count(Came.DONE),
        "unchanged": report.count(Came.UNCHANGED),
        "refused": refused,
        "remaining": report.remaining,
    }
