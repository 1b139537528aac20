"""The sales orders: cleaned, totalled, and proved against the file another way."""

from __future__ import annotations

import copy
import csv
from typing import Any

import pytest

from core_orchestration.demo.cleaning import (
    normalise_amounts,
    normalise_customers,
    normalise_dates,
)
from core_orchestration.demo.files import DATA, read_file
from core_orchestration.demo.orders import load_orders, reconcile_orders
from roles.functions import FunctionFailed

ROW = {
    "order_id": "SO-1",
    "order_date": "2025-01-31",
    "customer": "Dune Coffee",
    "region": "East",
    "product": "Desk lamp",
    "quantity": "2",
    "unit_price": "10.00",
    "discount": "",
}


def rows_of_the_file() -> list[dict[str, str]]:
    with (DATA / "sales_orders.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def loaded(rows: list[dict[str, str]]) -> dict[str, Any]:
    given = {"rows": rows}
    return load_orders(
        {
            "rows": rows,
            "customers": normalise_customers(given),
            "amounts": normalise_amounts(given),
            "dates": normalise_dates(given),
        }
    )


def amounts(**cells: str) -> dict[str, Any]:
    return normalise_amounts({"rows": [{**ROW, **cells}]})[0]


@pytest.mark.parametrize(
    ("cells", "total"),
    [
        ({}, 20.0),
        ({"unit_price": "€1,098.00"}, 2196.0),
        ({"unit_price": "549.00 EUR", "quantity": " 1 "}, 549.0),
        ({"discount": "5%"}, 19.0),
        ({"discount": "0.15"}, 17.0),
        ({"quantity": "-2"}, -20.0),
        ({"unit_price": "0.015", "quantity": "1"}, 0.02),
    ],
)
def test_amounts_are_read_as_people_write_them(
    cells: dict[str, str], total: float
) -> None:
    assert amounts(**cells)["total"] == total


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ({"quantity": ""}, "quantity"),
        ({"quantity": "three"}, "quantity"),
        ({"quantity": "1.5"}, "quantity"),
        ({"unit_price": ""}, "price"),
        ({"unit_price": "on request"}, "price"),
        ({"unit_price": "NaN"}, "price"),
        ({"discount": "some"}, "discount"),
        ({"discount": "%"}, "discount"),
    ],
)
def test_an_amount_that_is_none_becomes_a_problem(
    cells: dict[str, str], word: str
) -> None:
    assert word in amounts(**cells)["problem"]


@pytest.mark.parametrize("text", ["2025-01-31", "31/01/2025", "31 Jan 2025"])
def test_dates_are_read_in_three_spellings(text: str) -> None:
    (found,) = normalise_dates({"rows": [{**ROW, "order_date": text}]})
    assert found == {"row": 1, "order_date": "2025-01-31", "month": "2025-01"}


@pytest.mark.parametrize("text", ["", "2025-02-30", "tomorrow", "01/31/2025"])
def test_a_day_that_never_was_becomes_a_problem(text: str) -> None:
    (found,) = normalise_dates({"rows": [{**ROW, "order_date": text}]})
    assert "problem" in found


def test_names_are_spelled_in_one_way() -> None:
    row = {
        **ROW,
        "customer": " DUNE  coffee",
        "region": " east ",
        "product": "DESK lamp",
    }
    (found,) = normalise_customers({"rows": [row]})
    assert found == {
        "row": 1,
        "customer": "Dune Coffee",
        "region": "East",
        "product": "Desk lamp",
    }


def test_an_order_that_comes_twice_counts_once() -> None:
    result = loaded([ROW, {**ROW, "customer": "DUNE COFFEE"}])
    assert result["totals"]["revenue"] == 20.0
    assert result["rejected"] == [
        {"row": 2, "order_id": "SO-1", "reasons": ["the same order as row 1"]}
    ]


def test_an_unusable_row_does_not_hide_a_usable_one_of_the_same_order() -> None:
    result = loaded([{**ROW, "quantity": ""}, ROW])
    assert result["totals"]["orders"] == 1


def test_columns_of_different_lengths_are_refused() -> None:
    given = {"rows": [ROW], "customers": [], "amounts": [], "dates": []}
    with pytest.raises(FunctionFailed, match="lengths"):
        load_orders(given)


def test_the_file_comes_to_what_it_always_came_to() -> None:
    rows = rows_of_the_file()
    result = loaded(rows)
    assert (len(rows), len(result["orders"]), len(result["rejected"])) == (118, 108, 10)
    assert result["totals"]["revenue"] == 81926.75
    assert reconcile_orders({"rows": rows, "loaded": result})["passed"] is True


def _lose_an_order(loaded: dict[str, Any]) -> None:
    del loaded["orders"][0]


def _change_a_total(loaded: dict[str, Any]) -> None:
    loaded["totals"]["revenue"] += 0.01


def _change_an_amount(loaded: dict[str, Any]) -> None:
    loaded["orders"][0]["total"] += 1


def _repeat_an_order(loaded: dict[str, Any]) -> None:
    loaded["orders"].append(loaded["orders"][0])
    del loaded["rejected"][0]


def _move_a_region(loaded: dict[str, Any]) -> None:
    loaded["totals"]["by_region"]["East"] -= 1


@pytest.mark.parametrize(
    "spoil",
    [
        _lose_an_order,
        _change_a_total,
        _change_an_amount,
        _repeat_an_order,
        _move_a_region,
    ],
)
def test_totals_that_do_not_agree_with_the_file_fail_the_step(spoil: Any) -> None:
    rows = rows_of_the_file()
    result = copy.deepcopy(loaded(rows))
    spoil(result)
    with pytest.raises(FunctionFailed) as caught:
        reconcile_orders({"rows": rows, "loaded": result})
    assert caught.value.type == "totals_differ"
    assert not caught.value.retryable


@pytest.mark.parametrize("name", ["../seed.py", "/etc/passwd", "", None, "orders.csv"])
def test_only_the_demos_own_files_are_read(name: Any) -> None:
    with pytest.raises(FunctionFailed, match=r"sales_orders\.csv"):
        read_file({"file": name})


def test_a_file_is_read_as_it_is() -> None:
    found = read_file({"file": "sales_orders.csv"})
    assert found["text"].startswith("order_id,")
    assert found["bytes"] == (DATA / "sales_orders.csv").stat().st_size
