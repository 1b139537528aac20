"""Load cleaned sales orders, and prove that nothing was lost or made up."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from roles.functions import FunctionFailed, function

Entry = dict[str, Any]


@function("demo.load_orders")
def load_orders(given: dict[str, Any]) -> dict[str, Any]:
    """Join the cleaned columns, set aside what is unusable, and total the rest."""
    orders, rejected = [], []
    seen: dict[str, int] = {}
    for raw, *parts in _joined(given):
        order = {"order_id": raw["order_id"].strip()}
        for part in parts:
            order |= part
        reasons = [part["problem"] for part in parts if "problem" in part]
        if not reasons and order["order_id"] in seen:
            reasons = [f"the same order as row {seen[order['order_id']]}"]
        if reasons:
            rejected.append({**_place(order), "reasons": reasons})
        else:
            seen[order["order_id"]] = order["row"]
            orders.append(order)
    return {
        "orders": orders,
        "rejected": rejected,
        "totals": _totals(orders),
        "sha256": _digest(orders),
    }


@function("demo.reconcile_orders")
def reconcile_orders(given: dict[str, Any]) -> dict[str, Any]:
    """Compare what was loaded with the file, and fail the step if they differ."""
    loaded, rows = given["loaded"], given["rows"]
    orders, totals = loaded["orders"], loaded["totals"]
    revenue = totals["revenue"]
    checks = [
        _check("rows accounted for", len(rows), len(orders) + len(loaded["rejected"])),
        _check("order ids", len(orders), len({each["order_id"] for each in orders})),
        _check("revenue, from the file", _recomputed(rows, orders), revenue),
        _check("revenue, by region", _sum(totals["by_region"].values()), revenue),
        _check("revenue, by month", _sum(totals["by_month"].values()), revenue),
        _check("content", _digest(orders), loaded["sha256"]),
    ]
    wrong = [check["name"] for check in checks if not check["passed"]]
    if wrong:
        raise FunctionFailed(
            f"The loaded orders do not agree with the file: {', '.join(wrong)}.",
            type="totals_differ",
        )
    return {"passed": True, "checks": checks}


def _joined(given: dict[str, Any]) -> Iterable[tuple[Any, ...]]:
    columns = [given[name] for name in ("rows", "customers", "amounts", "dates")]
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise FunctionFailed(
            f"The columns have different lengths: {sorted(lengths)}.",
            type="columns_differ",
        )
    return zip(*columns, strict=True)


def _place(order: Entry) -> Entry:
    return {"row": order["row"], "order_id": order["order_id"]}


def _totals(orders: list[Entry]) -> Entry:
    return {
        "orders": len(orders),
        "units": sum(order["quantity"] for order in orders),
        "revenue": _sum(order["total"] for order in orders),
        "by_region": _grouped(orders, "region"),
        "by_month": _grouped(orders, "month"),
        "by_product": _grouped(orders, "product"),
    }


def _grouped(orders: list[Entry], column: str) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for order in orders:
        groups[order[column]].append(order["total"])
    return {name: _sum(groups[name]) for name in sorted(groups)}


def _sum(amounts: Iterable[float]) -> float:
    """Add money without the errors of binary fractions."""
    return float(sum((Decimal(str(amount)) for amount in amounts), Decimal(0)))


def _recomputed(rows: list[dict[str, str]], orders: list[Entry]) -> float:
    """Work out the revenue again, straight from the file's own cells."""
    cents = sum(_cents(rows[order["row"] - 1]) for order in orders)
    return cents / 100


def _cents(row: dict[str, str]) -> int:
    price = Fraction("".join(c for c in row["unit_price"] if c in "0123456789."))
    discount = Fraction(row["discount"].strip().rstrip("%") or "0")
    if "%" in row["discount"]:
        discount /= 100
    return round(int(row["quantity"]) * price * (1 - discount) * 100)


def _check(name: str, expected: Any, actual: Any) -> Entry:
    return {
        "name": name,
        "expected": expected,
        "actual": actual,
        "passed": expected == actual,
    }


def _digest(orders: list[Entry]) -> str:
    text = json.dumps(orders, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
