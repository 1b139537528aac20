from __future__ import annotations

import pytest

from benchmarks.measuring.statements import normalised, shortened, tally

PLAIN = "{bench_core 7} LOG:  duration: 0.500 ms  statement: "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT  1\n  FROM t", "SELECT ? FROM t"),
        (
            "SELECT a FROM t WHERE b = 'it''s' AND c = 3.5",
            "SELECT a FROM t WHERE b = ? AND c = ?",
        ),
        ("SELECT a1 FROM t2 WHERE id = $12", "SELECT a1 FROM t2 WHERE id = ?"),
        (
            "DELETE FROM t WHERE id IN ($1, $2, $3)",
            "DELETE FROM t WHERE id IN (?, ...)",
        ),
        ("DELETE FROM t WHERE id IN (1,2)", "DELETE FROM t WHERE id IN (?, ...)"),
        (
            "INSERT INTO t VALUES ('a', 1), ('b', 2)",
            "INSERT INTO t VALUES (?, ...), ...",
        ),
        ('SAVEPOINT "s140_x7"', "SAVEPOINT ?"),
        ("SELECT $1::text[], 'x'::jsonb", "SELECT ?::text[], ?::jsonb"),
    ],
)
def test_statements_that_differ_only_in_values_become_one(
    text: str, expected: str
) -> None:
    assert normalised(text) == expected


def test_a_statement_of_several_lines_is_one() -> None:
    counted = tally(
        [f"{PLAIN}SELECT a\n", "\tFROM t\n", "\tWHERE b = 1\n"], "bench_core"
    )
    assert list(counted.kinds) == ["SELECT a FROM t WHERE b = ?"]


def test_other_databases_and_other_lines_are_left_out() -> None:
    lines = [
        "{bench_dbos 7} LOG:  duration: 0.5 ms  statement: SELECT 1\n",
        "{bench_core 7} DETAIL:  Parameters: $1 = '5'\n",
        "{bench_core 7} LOG:  could not receive data from client\n",
        "2026-01-01 00:00:00 UTC [5] LOG:  parameter changed\n",
    ]
    assert tally(lines, "bench_core").count == 0


def test_planning_adds_to_the_time_but_is_no_further_execution() -> None:
    begin = "{bench_core 7} LOG:  duration:"
    lines = [
        f"{begin} 1.000 ms  parse <unnamed>: SELECT $1\n",
        f"{begin} 2.000 ms  bind <unnamed>: SELECT $1\n",
        f"{begin} 4.000 ms  execute <unnamed>: SELECT $1\n",
    ]
    (kind,) = tally(lines, "bench_core").most(5, "ms")
    assert (kind.count, kind.ms) == (1, 7.0)


def test_transactions_are_followed_by_backend() -> None:
    def line(backend: int, text: str) -> str:
        return f"{{bench_core {backend}}} LOG:  duration: 1 ms  statement: {text}\n"

    lines = [
        line(1, "BEGIN"),
        line(2, "SELECT 1"),  # a transaction of its own, inside the other's time
        line(1, "UPDATE t SET a = 1"),
        line(1, "ROLLBACK TO SAVEPOINT s1"),
        line(1, "COMMIT"),
        line(2, "BEGIN"),
        line(2, "SELECT 1"),
        line(2, "ROLLBACK"),
    ]
    counted = tally(lines, "bench_core")
    assert (counted.commits, counted.rollbacks, counted.count) == (2, 1, 8)


def test_the_most_frequent_and_the_longest_are_told_apart() -> None:
    lines = [f"{PLAIN}SELECT a"] * 3
    lines += ["{bench_core 7} LOG:  duration: 90.0 ms  statement: SELECT b"]
    counted = tally(lines, "bench_core")
    assert counted.most(1, "count")[0].text == "SELECT a"
    assert counted.most(1, "ms")[0].text == "SELECT b"


def test_a_list_of_columns_is_shown_by_its_first() -> None:
    text = 'SELECT "t"."a", "t"."b", "t"."c" FROM "t" WHERE "t"."a" = ?'
    assert shortened(text) == 'SELECT "t"."a", ... FROM "t" WHERE "t"."a" = ?'
