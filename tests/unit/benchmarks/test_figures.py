from __future__ import annotations

import pytest

from benchmarks.figures import (
    Repetition,
    of_answer,
    of_answers,
    p99,
    ratios,
    spread,
    values,
)


def test_a_ratio_is_taken_only_within_a_round_that_has_both() -> None:
    assert ratios({1: 10.0, 2: 30.0, 3: 5.0}, {1: 5.0, 2: 10.0, 4: 1.0}) == {
        1: 2.0,
        2: 3.0,
    }


def test_nothing_is_divided_by_zero() -> None:
    assert ratios({1: 10.0}, {1: 0.0}) == {}


def test_values_are_those_of_one_system_case_and_figure() -> None:
    figures = [
        Repetition(round=1, system="core", case="W1", figures={"steps_s": 5}),
        Repetition(round=2, system="core", case="W1", trouble="it has ended"),
        Repetition(round=1, system="dbos", case="W1", figures={"steps_s": 6}),
        Repetition(round=1, system="core", case="W5/50", figures={"steps_s": 7}),
    ]
    assert values(figures, "core", "W1", "steps_s") == {1: 5}


def test_an_answer_gives_steps_per_second_and_memory_by_process() -> None:
    found = of_answer({"seconds": 2.0, "memory_mb": {"io worker": 40}}, steps=100)
    assert found == {"seconds": 2.0, "steps_s": 50.0, "memory_mb:io worker": 40.0}


def test_one_hiccup_among_the_repeats_does_not_decide() -> None:
    answers = [{"seconds": seconds} for seconds in (2.0, 90.0, 1.0)]
    assert of_answers(answers, steps=10) == {"seconds": 2.0, "steps_s": 5.0}


def test_latencies_become_a_median_and_a_tail() -> None:
    found = of_answer({"seconds": 1, "latencies_ms": [1, 2, 9]}, steps=3)
    assert (found["p50_ms"], found["p99_ms"]) == (2, 9)


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 1), (50, 50), (100, 99), (200, 198)]
)
def test_99_of_100_do_not_exceed_the_p99(size: int, expected: int) -> None:
    assert p99(range(size, 0, -1)) == expected


def test_a_spread_of_nothing_is_none() -> None:
    assert spread([]) is None


def test_a_spread_keeps_the_extremes() -> None:
    found = spread([3.0, 1.0, 2.0, 9.0])
    assert found is not None
    assert (found.least, found.median, found.most) == (1.0, 2.5, 9.0)
