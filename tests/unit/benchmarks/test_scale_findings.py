"""What the works at scale make of their measurements."""

from __future__ import annotations

import json

import pytest

from benchmarks.measuring.statements import Tally
from benchmarks.scale import api, findings, growth, history, idle, workers
from benchmarks.scale.api import Asked
from benchmarks.scale.findings import Past
from benchmarks.scale.load import Answers, Rounds
from benchmarks.scale.workers import Point

PAST = Past(few=1_000, many=10_000)


def answers(*latencies: float, seconds: float = 2.0) -> Answers:
    return Answers(seconds=seconds, latencies_ms=latencies)


def point(processes: int, steps_s: float, *, foreign: float = 0.1) -> Point:
    names = ("workers", "PostgreSQL", "client", "Valkey")
    costs = {f"cpu_ms:{name}": 0.5 for name in names}
    more = {
        "cpu_ms": 2.0,
        "foreign_cores": foreign,
        "commits": 1.2,
        "wal_bytes": 1000.0,
    }
    return Point(
        processes=processes, steps_s=steps_s, costs=costs | more, statements=1.5
    )


@pytest.mark.parametrize(("value", "met"), [(1.29, True), (1.3, True), (1.31, False)])
def test_a_limit_may_be_reached_and_not_passed(value, met):
    assert findings.at_most("x", value, 1.3).met is met


@pytest.mark.parametrize(("value", "met"), [(0.89, False), (0.9, True), (2.0, True)])
def test_a_least_value_may_be_reached(value, met):
    assert findings.at_least("x", value, 0.9).met is met


def test_a_bar_cannot_break_a_table():
    assert findings.table(["a", "b"], [["x | y", 1234]]) == (
        "| a | b |\n| --- | ---: |\n| x \\| y | 1,234 |"
    )


def test_the_bar_of_growth_is_for_the_medians():
    found = growth.finding(
        {"e": [100.0, 1.0, 110.0], "g": [89.0, 500.0, 60.0]}, "e", "g", PAST
    )
    assert found.figures["ratio"] == pytest.approx(0.89)
    assert [bar.met for bar in found.bars] == [False]


@pytest.mark.parametrize(
    ("rates", "said"),
    [([95.0, 100.0, 115.0], ""), ([95.0, 100.0, 116.0], "differ by up to 21%")],
)
def test_runs_that_spread_too_much_are_told(rates, said):
    found = growth.finding({"e": [100.0, 100.0, 101.0], "g": rates}, "e", "g", PAST)
    assert ("differ" in found.markdown) == bool(said)
    assert said in found.markdown


def test_only_lists_are_held_against_the_bar_of_lists():
    kinds = ("first page", "one execution", "execute")
    few = {kind: Rounds(parts=[answers(10.0)]) for kind in kinds}
    many = {kind: Rounds(parts=[answers(14.0)]) for kind in kinds}
    asked = {kind: Asked(statements=2, plans=()) for kind in kinds}
    found = api.finding(few, many, asked, PAST)
    assert [bar.met for bar in found.bars] == [False]
    assert "Every list is read along an index." in found.markdown


def test_stretches_of_a_load_are_one():
    parts = [answers(1.0, 2.0), answers(3.0, 4.0, seconds=3.0)]
    whole = Rounds(parts=parts).whole
    assert whole.rate == pytest.approx(4 / 5)
    assert whole.p50_ms == pytest.approx(2.5)
    assert whole.p99_ms == pytest.approx(4.0)


def test_one_disturbed_round_does_not_decide():
    calm = Rounds(parts=[answers(10.0), answers(10.0), answers(10.0)])
    disturbed = Rounds(parts=[answers(12.0), answers(11.0), answers(90.0)])
    assert disturbed.times(calm) == pytest.approx(1.2)


def test_all_processes_together_are_idle_or_not():
    tally = Tally()
    for _ in range(8):
        tally.add("1", "statement", 0.1, "SELECT 1")
    rates = {"commits_s": 0.8, "broker_commands_s": 3.0, "wal_bytes_s": 90.0}
    found = idle.finding({"web": 0.6, "workers": 0.6}, rates, tally, 2.0, PAST)
    assert {bar.name.split(": ")[1]: (bar.value, bar.met) for bar in found.bars} == {
        "% of a core, all processes": (1.2, False),
        "statements per second": (4.0, True),
    }


def test_the_curve_bends_where_it_is_highest():
    found = workers.finding([point(1, 400.0), point(2, 900.0), point(4, 880.0)])
    assert "bends at 2 processes, where 1.8 cores are busy" in found.markdown
    assert "carries 2,000 steps/s, as computed" in found.markdown
    assert "writes 2.0 MB/s" in found.markdown


def test_a_curve_that_rises_to_its_end_has_no_bend():
    found = workers.finding([point(1, 400.0), point(2, 700.0), point(4, 900.0)])
    assert "no bend up to 4 processes, where 1.8 cores are busy" in found.markdown


def test_a_last_point_that_brings_next_to_nothing_is_past_the_bend():
    points = [point(1, 400.0), point(2, 880.0), point(4, 900.0)]
    assert workers.bend(points) is points[1]


def test_one_dip_is_no_bend():
    assert workers.bend([point(1, 400.0), point(2, 390.0), point(4, 900.0)]) is None


def test_disturbed_points_are_left_out():
    points = [
        point(1, 400.0),
        point(2, 1100.0, foreign=0.4),
        point(4, 900.0),
        point(8, 890.0, foreign=0.31),
    ]
    found = workers.finding(points)
    assert "the points of 2, 8 processes" in found.markdown
    assert "no bend up to 4 processes" in found.markdown
    assert "1,100" in found.markdown  # it stays in the table


def test_nothing_is_computed_when_every_point_was_disturbed():
    found = workers.finding([point(1, 400.0, foreign=1.0)])
    assert "at every point" in found.markdown
    assert "as computed" not in found.markdown


def test_a_report_is_json():
    found = workers.finding([point(1, 400.0)])
    assert json.loads(json.dumps(found.as_json()))["work"] == "Workers"


@pytest.mark.parametrize(
    ("first", "end", "ranges"),
    [
        (0, 20_000, [(0, 9_999), (10_000, 19_999)]),
        (5, 7, [(5, 6)]),
        (0, 10_001, [(0, 9_999), (10_000, 10_000)]),
        (3, 3, []),
    ],
)
def test_batches_leave_nothing_out(first, end, ranges):
    assert list(history._ranges(first, end)) == ranges


def test_of_a_traceback_the_last_line_is_told():
    assert findings.last_line("Traceback:\n  File x\nE: a|b\n") == "E: a/b"
    assert findings.last_line("") == ""
