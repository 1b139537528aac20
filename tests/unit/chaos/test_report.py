"""Percentiles, sums, and an aligned table."""

from __future__ import annotations

import pytest

from tests.chaos.recovery import Recoveries
from tests.chaos.report import percentile, summary, table


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7.0], 1, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
        ([1.0, 100.0], 99, 100.0),
    ],
)
def test_a_percentile_is_one_of_the_values(
    values: list[float], percent: float, expected: float | None
) -> None:
    assert percentile(values, percent) == expected


def test_a_fault_is_survived_when_all_that_it_struck_went_on() -> None:
    counted = summary(
        "kill_worker",
        [
            Recoveries(seconds=[1.0, 31.0]),
            Recoveries(seconds=[2.0], missing=["step a"]),
            Recoveries(),
        ],
    )

    assert counted == {
        "kind": "kill_worker",
        "done": 3,
        "survived": 2,
        "struck": 4,
        "p50_s": 2.0,
        "p99_s": 31.0,
        "max_s": 31.0,
        "within_30_s": 2,
    }


def test_a_table_aligns_words_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("short", 1, 12.34), ("a longer one", 100, None)]

    assert table(("kind", "n", "max s"), rows).splitlines() == [
        "kind            n  max s",
        "------------  ---  -----",
        "short           1   12.3",
        "a longer one  100      -",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert table(("kind", "n"), []) == "kind  n\n----  -"
