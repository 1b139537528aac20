"""What stands out in the plan of a query."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.scale import plans


def node(kind: str, *below: dict[str, Any], **more: Any) -> dict[str, Any]:
    rows = {"Actual Rows": more.pop("rows", 50), "Actual Loops": more.pop("loops", 1)}
    dropped = {"Rows Removed by Filter": more.pop("dropped", 0)}
    return {"Node Type": kind, "Plans": list(below), **rows, **dropped, **more}


def read(plan: dict[str, Any]) -> plans.Plan:
    return plans.read({"sql": "SELECT", "ms": 0.3, "plan": plan})


def on(table: str, index: str = "") -> dict[str, str]:
    return {"Relation Name": table} | ({"Index Name": index} if index else {})


def test_a_page_along_an_index_is_well():
    found = read(node("Limit", node("Index Scan", **on("execution", "pkey"))))
    assert found.faults == ()
    assert found.nodes == ("Index Scan on pkey",)


def test_small_tables_may_be_read_as_a_whole():
    assert read(node("Seq Scan", **on("users"), rows=20, loops=60)).faults == ()


def test_what_is_no_table_may_drop_rows_as_well():
    found = read(node("Nested Loop", node("Limit"), dropped=2_000))
    assert found.faults == ("Nested Loop drops 2,000 rows",)


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (
            node("Seq Scan", **on("execution"), rows=10, dropped=9_000),
            "Seq Scan on execution, 9,010 rows",
        ),
        (
            node("Index Scan", **on("execution", "pkey"), dropped=600, loops=2),
            "Index Scan on pkey drops 1,200 rows",
        ),
        (node("Sort", node("Result"), rows=5_000), "Sort of 5,000 rows"),
        (
            node("Bitmap Heap Scan", **on("execution"), rows=2_000),
            "Bitmap Heap Scan of 2,000 rows",
        ),
    ],
)
def test_what_grows_with_the_table_is_named(plan, fault):
    assert read(node("Limit", plan)).faults == (fault,)
