from __future__ import annotations

import pytest

from benchmarks.bars import judged
from benchmarks.figures import Figures, Repetition, Spread, spread
from benchmarks.machine import Machine
from benchmarks.report import document, glance, markdown, tables
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


def spread_of(*rounds: float) -> Spread:
    found = spread(rounds)
    assert found is not None
    return found


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
    assert markdown.number(value) == expected


def test_a_single_round_has_no_range() -> None:
    assert markdown.ranged(spread([5.0])) == "5"
    assert markdown.ranged(spread([97.51, 97.52])) == "97.5"  # they look the same
    assert markdown.ranged(spread([5.0, 7.0, 9.0])) == "7 (5–9)"


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
    figures = [repetition("celery-django", "W1", 1)]
    shown = tables.costs(BY_KEY["W1"], figures)
    name = "Celery canvas, results in PostgreSQL"
    assert row(shown, name).startswith(f"| {name} | 9 | 6 | 1 | 1 | 1 |")


def test_what_a_server_does_is_no_cost_of_a_system_without_it() -> None:
    shown = tables.costs(BY_KEY["W1"], chains())
    assert row(shown, "Restate").startswith("| Restate | 9 | 6 | – | – | 1 | – | – |")


def test_memory_is_summed_up_over_the_roles() -> None:
    taken = {"workers": 90.0, "web": 30.0, "all": 120.0, "io worker": 40.0}
    found = {f"memory_mb:{name}": value for name, value in taken.items()}
    roles = {"cpu_ms:workers": 1.0, "cpu_ms:web": 1.0}
    figures = [repetition("core", "W3/200", 1, **found, **roles)]
    assert "| workers 90, web 30 (of them io worker 40) | 120 |" in tables.memory(
        BY_KEY["W3/200"], figures
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "smaller", "expected"),
    [
        ([5, 6], [3, 4], False, "core"),
        ([5, 6], [3, 5], False, ""),
        ([5, 6], [7, 8], True, "core"),
        ([5, 9], [3, 4], True, "dbos"),
    ],
)
def test_only_who_is_better_beyond_doubt_stands_out(
    ours: list[float], theirs: list[float], smaller: bool, expected: str
) -> None:
    found = {"core": spread_of(*ours), "dbos": spread_of(*theirs)}
    assert glance.leader(found, smaller=smaller) == expected


def test_one_alone_does_not_stand_out() -> None:
    assert glance.leader({"core": spread_of(5.0)}, smaller=False) == ""


def test_all_is_shown_at_a_glance_but_what_only_peers_do() -> None:
    figures = [*chains(), repetition("restate", "W2/100/children", 1, steps_s=9)]
    name = "W1: 200 executions × 10 steps"
    shown = glance.glance(figures)
    assert row(shown, name) == f"| {name} | steps/s | 250 | 175 |"
    assert "W2" not in shown


def test_what_only_peers_do_is_marked_as_an_aside() -> None:
    figures = [repetition("restate", "W2/100/children", 1, steps_s=9)]
    shown = document.text(Results(repetitions=figures), MACHINE, [], [], quick=False)
    assert "### Aside: 100 steps side by side, each an execution of its own" in shown


def test_what_failed_is_told_with_its_reason() -> None:
    failed = Repetition(round=1, system="dbos", case="W1", trouble="a|b\nc")
    shown = tables.failures([failed])
    assert "| W1: 200 executions × 10 steps | a/b c |" in shown
    assert told(failed) == "a|b"


def test_a_skipped_system_is_told_at_the_top() -> None:
    results = Results(repetitions=list(chains()), skipped={"dbos": "no network"})
    shown = document.text(results, MACHINE, judged(chains()), [], quick=False)
    assert "**SKIPPED: dbos.** no network" in shown.partition("## ")[0]


def test_bars_of_works_that_nobody_was_asked_for_are_left_out() -> None:
    results = Results(repetitions=list(chains()))
    shown = document.text(results, MACHINE, judged(chains()), [], quick=False)
    bars = shown.partition("## Bars")[2].partition("## ")[0]
    assert "| W1 |" in bars
    assert "| W5 |" not in bars


def test_a_report_says_when_and_on_what_it_was_measured() -> None:
    results = Results(repetitions=list(chains()))
    shown = document.text(results, MACHINE, [], [], quick=False)
    assert "Measured on 2026-01-01: 2 cores (one), 4 GB" in shown
    assert "; 2 rounds." in shown


def test_of_a_long_message_both_ends_are_told() -> None:
    assert markdown.brief("it\nfailed", 20) == "it failed"
    assert markdown.brief("a" * 50 + "b" * 50, 30) == "a" * 10 + " ... " + "b" * 20


def test_bars_say_met_missed_or_not_measured() -> None:
    shown = tables.bars(judged(chains()))
    assert "| W1 | steps/s over Restate | met | 1.5 | ≥ 1.2 |" in shown
    assert "| W1 | steps/s over DBOS | not measured | – | ≥ 5 |" in shown


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
