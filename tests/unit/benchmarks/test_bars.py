from __future__ import annotations

from benchmarks.bars import BARS, Bar, Side, judged, read
from benchmarks.figures import Repetition
from benchmarks.systems import BY_NAME
from benchmarks.works import BY_KEY


def measured(system: str, case: str, *by_round: float, figure: str) -> list[Repetition]:
    return [
        Repetition(round=number, system=system, case=case, figures={figure: value})
        for number, value in enumerate(by_round, 1)
    ]


def over(peer: str, limit: float) -> Bar:
    return Bar(
        text="steps/s",
        left=Side(case="W1", figure="steps_s"),
        right=Side(case="W1", figure="steps_s", system=peer),
        limit=limit,
        at_least=True,
    )


def test_the_median_of_the_ratios_counts_not_the_ratio_of_medians() -> None:
    figures = [
        *measured("core", "W1", 10, 40, 90, figure="steps_s"),
        *measured("dbos", "W1", 10, 10, 30, figure="steps_s"),
    ]
    assert over("dbos", 5).value(figures) == 3


def test_a_bar_without_one_of_its_sides_is_neither_met_nor_missed() -> None:
    figures = measured("core", "W1", 10, figure="steps_s")
    verdict = next(each for each in judged(figures) if "DBOS" in each.name)
    assert (verdict.value, verdict.met) == (None, None)


def test_reaching_a_limit_exactly_is_enough_both_ways() -> None:
    upper = Bar(text="ms", left=Side(case="W4/launch", figure="p50_ms"), limit=10)
    assert over("dbos", 3).met(3.0)
    assert not over("dbos", 3).met(2.99)
    assert upper.met(10.0)
    assert not upper.met(10.01)


def test_every_bar_speaks_of_cases_that_its_systems_are_given() -> None:
    sides = [side for bar in BARS for side in (bar.left, bar.right) if side]
    assert [s for s in sides if s.case not in BY_NAME[s.system].cases] == []


def test_every_system_is_given_cases_that_exist() -> None:
    given = {case for system in BY_NAME.values() for case in system.cases}
    assert given == set(BY_KEY)


def test_verdicts_of_other_works_are_taken_over() -> None:
    bar = {"name": "p99", "value": 5, "limit": "≤ 4", "met": False}
    (verdict,) = read([{"work": "W7", "name": "API", "figures": {}, "bars": [bar]}])
    assert (verdict.work, verdict.value, verdict.met) == ("W7", 5.0, False)
