"""
Make sense of sales orders as people type them: names, amounts and dates.

Each function reads the same raw rows and answers for its own columns, one entry
per row in the same order, so that the three can work side by side. A value that
cannot be understood becomes a `problem` of its row, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from roles.functions import function

Row = dict[str, str]
Entry = dict[str, Any]

REGIONS = ("North", "South", "East", "West")
DATE_FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%d %b %Y")
CENT = Decimal("0.01")


class Unclear(ValueError):
    """A cell of a row cannot be understood."""


@function("demo.normalise_customers")
def normalise_customers(given: dict[str, Any]) -> list[Entry]:
    """Spell customers, regions and products in one way."""
    return _each_row(given, _names)


@function("demo.normalise_amounts")
def normalise_amounts(given: dict[str, Any]) -> list[Entry]:
    """Read quantities, prices and discounts, and work out what each row comes to."""
    return _each_row(given, _amounts)


@function("demo.normalise_dates")
def normalise_dates(given: dict[str, Any]) -> list[Entry]:
    """Write every date as YYYY-MM-DD and name its month."""
    return _each_row(given, _dates)


def _each_row(given: dict[str, Any], read: Callable[[Row], Entry]) -> list[Entry]:
    return [
        {"row": number, **_or_problem(read, row)}
        for number, row in enumerate(given["rows"], start=1)
    ]


def _or_problem(read: Callable[[Row], Entry], row: Row) -> Entry:
    try:
        return read(row)
    except Unclear as unclear:
        return {"problem": str(unclear)}


def _names(row: Row) -> Entry:
    region = squeezed(row["region"]).title()
    if region not in REGIONS:
        raise Unclear(f"the region {row['region']!r} is none of {', '.join(REGIONS)}")
    customer = squeezed(row["customer"])
    if not customer:
        raise Unclear("the customer is missing")
    return {
        "customer": customer.title(),
        "region": region,
        "product": squeezed(row["product"]).capitalize(),
    }


def _amounts(row: Row) -> Entry:
    quantity, price = _quantity(row["quantity"]), _money(row["unit_price"])
    discount = _share(row["discount"])
    total = (quantity * price * (1 - discount)).quantize(CENT)
    return {
        "quantity": quantity,
        "unit_price": float(price),
        "discount": float(discount),
        "total": float(total),
    }


def _dates(row: Row) -> Entry:
    text = squeezed(row["order_date"])
    for form in DATE_FORMATS:
        found = _date(text, form)
        if found is not None:
            return {"order_date": found.isoformat(), "month": f"{found:%Y-%m}"}
    raise Unclear(f"the date {text!r} is no day of the calendar")


def _date(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()  # noqa: DTZ007  (a day, no moment)
    except ValueError:
        return None


def squeezed(text: str) -> str:
    """Drop blanks at the ends and double ones inside."""
    return " ".join(text.split())


def _quantity(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,6}", text.strip()):
        raise Unclear(f"the quantity {text!r} is not a number")
    return int(text)


def _money(text: str) -> Decimal:
    """Read `1299.00`, `€1,299.00` and `1299.00 EUR`."""
    digits = squeezed(text).removeprefix("€").removesuffix("EUR").strip()
    return _decimal(digits.replace(",", ""), f"the unit price {text!r} is no amount")


def _share(text: str) -> Decimal:
    """Read `5%`, `0.05` and nothing as a share of the whole."""
    digits = squeezed(text)
    if not digits:
        return Decimal(0)
    complaint = f"the discount {text!r} is no share"
    if digits.endswith("%"):
        return _decimal(digits.removesuffix("%"), complaint) / 100
    return _decimal(digits, complaint)


def _decimal(digits: str, complaint: str) -> Decimal:
    try:
        number = Decimal(digits)
    except InvalidOperation:
        raise Unclear(complaint) from None
    if not number.is_finite():
        raise Unclear(complaint)
    return number
