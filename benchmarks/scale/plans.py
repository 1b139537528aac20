"""How PostgreSQL carries a query out: what stands out in the plan of a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Of a page's rows, so many more may be read and dropped before it stands out.
MANY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One query of a request."""

    sql: str
    ms: float
    nodes: tuple[str, ...]
    faults: tuple[str, ...]


def read(found: Mapping[str, Any]) -> Plan:
    nodes = list(_nodes(found["plan"]))
    return Plan(
        sql=found["sql"],
        ms=found["ms"],
        nodes=tuple(_named(node) for node in nodes if "Relation Name" in node),
        faults=tuple(fault for node in nodes for fault in _faults(node)),
    )


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _named(node: Mapping[str, Any]) -> str:
    place = node.get("Index Name") or node.get("Relation Name")
    return f"{node['Node Type']} on {place}" if place else str(node["Node Type"])


def _faults(node: Mapping[str, Any]) -> Iterator[str]:
    """Name what grows with the table instead of with the page."""
    kind, loops = node["Node Type"], node["Actual Loops"]
    rows, dropped = node["Actual Rows"], node.get("Rows Removed by Filter", 0)
    if kind == "Seq Scan" and rows + dropped > MANY:
        yield f"Seq Scan on {node['Relation Name']}, {round(rows + dropped):,} rows"
    elif dropped * loops > MANY and kind != "Seq Scan":
        yield f"{_named(node)} drops {round(dropped * loops):,} rows"
    elif kind in ("Sort", "Hash", "Bitmap Heap Scan") and rows > MANY:
        yield f"{kind} of {round(rows):,} rows"
