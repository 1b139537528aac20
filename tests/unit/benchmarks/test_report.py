from __future__ import annotations

import pytest

from benchmarks.bars import judged
from benchmarks.figures import Figures, Repetition, spread
from benchmarks.machine import Machine
from benchmarks.report import document, tables
from benchmarks.rounds import Results, rotated, told
from benchmarks.works import BY_KEY

COSTS = dict.fromkeys(tables.COSTS.values(), 1.0) | {"cpu_ms": 9.0}
MACHINE = Machine(
    date="2026-01-01",
    processor="one",
    cores=2,
    memory_gb=4.0,
    kernel="6",
    python="3.11",
    postgres="18",
    valkey="9",
    fsync_ms=0.2,
    load_before=0.1,
)


def repetition(system: str, case: str, number: int, **figures: float) -> Repetition:
    return Repetition(
        round=number, system=system, case=case, figures={**COSTS, **figures}
    )


def chains() -> Figures:
    return [
        repetition("core", "W1", 1, steps_s=300),
        repetition("core", "W1", 2, steps_s=200),
        repetition("restate", "W1", 1, steps_s=150),
        repetition("restate", "W1", 2, steps_s=200),
    ]


def row(text: str, begin: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {begin} |")]
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (0, "0"),
        (0.004, "<0.01"),
        (0.0123, "0.0123"),
        (1.234, "1.23"),
        (99.96, "100"),
        (12345.6, "12,346"),
    ],
)
def test_three_digits_are_shown_that_count(value: float, expected: str) -> None:
    assert tables.number(value) == expected


def test_a_single_round_has_no_range() -> None:
    assert tables.ranged(spread([5.0])) == "5"
    assert tables.ranged(spread([5.0, 7.0, 9.0])) == "7 (5–9)"


def test_the_ratio_beside_a_peer_is_that_of_its_rounds() -> None:
    shown = tables.speeds(BY_KEY["W1"], chains())
    assert row(shown, "Restate") == "| Restate | 175 (150–200) | 1.5 (1–2) | 2 |"


def test_less_time_is_a_ratio_above_one() -> None:
    figures = [
        repetition("core", "W3/200", 1, seconds=2),
        repetition("dbos", "W3/200", 1, seconds=3),
    ]
    assert tables.ratio(BY_KEY["W3/200"], figures, "dbos") == "1.5"


def test_other_shapes_of_a_fan_are_compared_with_the_one_that_there_is() -> None:
    figures = [
        repetition("core", "W2/100", 1, steps_s=30),
        repetition("restate", "W2/100/children", 1, steps_s=10),
    ]
    assert tables.ratio(BY_KEY["W2/100/children"], figures, "restate") == "3"


def test_the_servers_time_is_not_a_systems_own() -> None:
    shown = tables.costs(BY_KEY["W1"], chains())
    assert row(shown, "Restate").startswith("| Restate | 9 | 6 | 1 | 1 | 1 |")


def test_what_failed_is_told_with_its_reason() -> None:
    failed = Repetition(round=1, system="dbos", case="W1", trouble="a|b\nc")
    assert "| dbos | W1 | a/b c |" in tables.failures([failed])
    assert told(failed) == "a|b"


def test_a_skipped_system_is_told_at_the_top() -> None:
    results = Results(repetitions=list(chains()), skipped={"dbos": "no network"})
    shown = document.text(results, MACHINE, judged(chains()), [], quick=False)
    assert "**SKIPPED: dbos.** no network" in shown.partition("## Bars")[0]


def test_bars_say_met_missed_or_not_measured() -> None:
    shown = tables.bars(judged(chains()))
    assert "| W1 | steps/s over Restate | 1.5 | ≥ 1.2 | met |" in shown
    assert "| W1 | steps/s over DBOS | – | ≥ 5 | not measured |" in shown


def test_a_quick_run_says_that_it_proves_nothing() -> None:
    shown = [
        document.text(Results(), MACHINE, [], [], quick=quick)
        for quick in (True, False)
    ]
    assert [document.QUICK in each for each in shown] == [True, False]


def test_the_tables_of_other_works_stand_in_the_report() -> None:
    scaled = [
        {"work": "W8", "name": "Idle", "markdown": "at rest\n"},
        {"work": "W7", "name": "API", "markdown": "as many as it takes\n"},
    ]
    shown = document.text(Results(), MACHINE, [], scaled, quick=False)
    assert "\n\n## W7: API\n\nas many as it takes\n\n## W8: Idle\n\nat" in shown


def test_another_system_begins_each_round() -> None:
    assert [rotated("abc", number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(rotated("abc", 2)) == ["a", "b", "c"]
