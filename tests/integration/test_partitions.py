"""Partitions by time: nothing is lost on the way in, and only what is over leaves."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction

from core_orchestration.models import Orchestration
from executions import diagnosis, lifecycle, recovery, retention, situation
from executions.database import fetch
from executions.identity import step_run_id
from executions.launch import launch
from executions.models import Event, Execution, StepRun
from executions.partitions import catalog, conversion, periods, preparation, upkeep
from executions.partitions.locking import Busy
from executions.partitions.periods import first_id
from executions.partitions.preparation import BeyondBound
from tests.integration.engine import (
    DONE,
    FAILED,
    at_once,
    chain,
    claimed,
    finish,
    group,
    launched,
    new_run,
    now_of,
    orchestration,
    plan_of,
    role,
    step,
    told,
    until,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).parents[2] / "docs" / "partitions.md"
NOW = datetime.now(UTC)
WEEK = timedelta(days=7)
THIS_WEEK = periods.boundary(NOW, 7)
# What migration 0002 adds to the tables that Django makes.
STORAGE = """
ALTER TABLE executions_steprun
  SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
"""
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def plain_tables(transactional_db: None) -> Iterator[None]:
    """Let each test begin, and the other files go on, with tables as migrated."""
    yield
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE executions_steprun, executions_event CASCADE")
        cursor.execute("DROP INDEX IF EXISTS executions_event_partition_key")
    with connection.schema_editor() as editor:
        editor.create_model(StepRun)
        editor.create_model(Event)
    with connection.cursor() as cursor:
        cursor.execute(STORAGE)


@pytest.fixture
def weeks() -> None:
    """Tables that have been partitioned ten weeks ago, and kept up since."""
    assert conversion.convert(THIS_WEEK - 10 * WEEK, days=7)
    for weeks_ago in (9, 5, 1, 0):  # as far ahead as they are made
        assert upkeep.prepare(THIS_WEEK - weeks_ago * WEEK)


@pytest.fixture
def two_steps(db: None) -> Orchestration:
    same = role()
    return orchestration(step("a", same), step("b", same))


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.CORE_ARCHIVE_DIR = str(tmp_path)
    return tmp_path


def began(made: Orchestration, at: datetime, **fields: Any) -> Execution:
    """Record an execution of two steps as if it had been launched then."""
    assert made.published is not None
    new_id = UUID(int=first_id(at).int | 7 << 76 | 2 << 62 | next(_numbers))
    given = {"status": "running", "created_at": at, "started_at": at, **fields}
    execution = Execution.objects.create(
        id=new_id, orchestration=made, version=made.published, **given
    )
    for ordinal, path in enumerate("ab"):
        StepRun.objects.create(
            id=step_run_id(new_id, path),
            execution=execution,
            ordinal=ordinal,
            path=path,
            key=path,
            status="completed",
            output={"from": path},
        )
        Event.objects.create(execution=execution, type="step.completed", path=path)
    return execution


def ended(made: Orchestration, at: datetime, **fields: Any) -> Execution:
    return began(made, at, **{"status": "completed", "finished_at": at, **fields})


def names() -> list[str]:
    return [period.name for period in catalog.read().periods]


def name_of(moment: datetime) -> str:
    return f"{periods.boundary(moment, 7):%Y%m%d}"


def places(execution: Execution) -> set[str]:
    """Name the partitions that hold an execution's rows."""
    sql = """
      SELECT replace(s.tableoid::regclass::text, 'executions_steprun_', '')
      FROM executions_steprun s WHERE s.execution_id = %s
      UNION SELECT replace(v.tableoid::regclass::text, 'executions_event_', '')
      FROM executions_event v WHERE v.execution_id = %s
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [execution.pk, execution.pk])
        return {name for (name,) in cursor.fetchall()}


def rows(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY execution_id, id")  # noqa: S608
        return list(cursor.fetchall())


def swept(**options: Any) -> tuple[int, int]:
    """Sweep, and count the executions and the periods that left."""
    batches = list(retention.sweep(**options))
    return sum(b.executions for b in batches), sum(b.periods for b in batches)


def shape(table: str) -> dict[str, Any]:
    """Describe what a table promises, whichever way it is stored."""
    sql = """
      SELECT array(SELECT row(a.attname, format_type(a.atttypid, a.atttypmod),
          a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid))::text
        FROM pg_attribute a LEFT JOIN pg_attrdef d
          ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attname),
      array(SELECT k.conname || pg_get_constraintdef(k.oid) FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'c' ORDER BY 1),
      array(SELECT i.indexrelid::regclass::text FROM pg_index i
        WHERE i.indrelid = c.oid AND i.indisvalid ORDER BY 1)
      FROM pg_class c WHERE c.oid = %s::regclass
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [table])
        ((columns, checks, indexes),) = cursor.fetchall()
    return {"columns": columns, "checks": checks, "indexes": indexes}


# --- which periods there are to be ----------------------------------------------------


def test_periods_join_and_reach_ahead() -> None:
    made = list(periods.coming([periods.until(first_id(THIS_WEEK))], NOW, days=7))
    assert [period.name for period in made] == [
        f"{THIS_WEEK + week * WEEK:%Y%m%d}" for week in range(1 + periods.AHEAD)
    ]
    assert made[0].low == first_id(THIS_WEEK)
    for one, following in itertools.pairwise(made):
        assert one.high == following.low
    assert not list(periods.coming(made, NOW, days=7))
    assert len(list(periods.coming(made, NOW + 2 * WEEK, days=7))) == 2


def test_a_time_without_anybody_is_not_made_up_for() -> None:
    (last,) = list(periods.coming([], NOW, days=7))[-1:]
    made = list(periods.coming([last], NOW + 50 * WEEK, days=7))
    assert periods.moment_of(made[0].low) == THIS_WEEK + 50 * WEEK


def test_another_length_begins_where_the_last_period_ends() -> None:
    weekly = list(periods.coming([], NOW, days=7))
    later = periods.moment_of(weekly[-1].high) - timedelta(days=1)
    daily = list(periods.coming(weekly, later, days=1))
    assert daily[0].low == weekly[-1].high
    assert {periods.moment_of(p.high) - periods.moment_of(p.low) for p in daily} == {
        timedelta(days=1)
    }


def test_all_rows_of_an_execution_are_of_its_period() -> None:
    made = list(periods.coming([], NOW, days=7))
    for period, other in itertools.pairwise(made):
        end = periods.moment_of(period.high) - timedelta(milliseconds=1)
        last = UUID(int=first_id(end).int | 7 << 76 | 2 << 62)
        assert last in period
        assert last not in other
        assert all(step_run_id(last, f"s{number}") in period for number in range(99))


# --- conversion -----------------------------------------------------------------------


def test_every_row_is_kept_and_everything_that_is_promised(
    two_steps: Orchestration,
) -> None:
    old, new = ended(two_steps, NOW - 20 * WEEK), began(two_steps, NOW)
    before = [rows(table) for table in catalog.KEYS]
    shapes = [shape(table) for table in catalog.KEYS]

    assert conversion.convert(NOW, days=7)
    upkeep.prepare(NOW)

    assert [rows(table) for table in catalog.KEYS] == before
    runs, events = map(shape, catalog.KEYS)
    assert runs == shapes[0]
    assert {**events, "indexes": None} == {**shapes[1], "indexes": None}
    assert events["indexes"] == ["executions_event_pkey"]
    assert places(old) == places(new) == {"first"}


def test_identities_go_on(two_steps: Orchestration) -> None:
    execution = began(two_steps, NOW)
    last = Event.objects.latest("id").pk
    conversion.convert(NOW, days=7)
    assert Event.objects.create(execution=execution, type="x").pk > last


def test_work_under_way_goes_on() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")

    conversion.convert(NOW, days=7)

    following = new_run(execution, "b", by=claim.run.worker)
    settled = lifecycle.settle_and_claim(claim, DONE, following)
    assert settled.next is not None
    assert lifecycle.settle_and_complete(settled.next, DONE, {"n": 1})
    assert now_of(execution).status == "completed"
    assert told(execution) == [
        "execution.created",
        "execution.started",
        "step.started a",
        "step.completed a",
        "step.started b",
        "step.completed b",
        "execution.completed",
    ]


def test_work_goes_on_beside_the_conversion() -> None:
    """Executions begin and end all the while; each is whole afterwards."""
    same = role()
    made = orchestration(step("a", same), step("b", same))
    over = threading.Event()
    done: list[Execution] = []

    def work() -> int:
        while not over.is_set() or len(done) < 20:
            execution = launch(made, {})
            finish(execution, "a")
            claim = claimed(execution, "b")
            assert lifecycle.settle_and_complete(claim, DONE, None)
            done.append(execution)
        return len(done)

    def convert() -> bool:
        until(lambda: len(done) > 5, "work")
        try:
            return conversion.convert(NOW, days=7)
        finally:
            over.set()

    number, converted = at_once(work, convert)

    assert converted is True
    assert isinstance(number, int), number
    assert {len(told(execution)) for execution in done} == {7}
    assert StepRun.objects.count() == 2 * number


def test_a_second_conversion_changes_nothing(two_steps: Orchestration) -> None:
    began(two_steps, NOW)
    assert conversion.convert(NOW, days=7)
    before = (names(), *map(rows, catalog.KEYS))
    assert not conversion.convert(NOW + WEEK, days=7)
    assert (names(), *map(rows, catalog.KEYS)) == before


def test_of_two_at_once_one_converts() -> None:
    def convert() -> bool:
        return conversion.convert(NOW, days=7)

    came = at_once(convert, convert)
    assert True in came
    assert sum(one is True for one in came) == 1
    assert catalog.read().is_partitioned


def test_ids_of_the_future_are_refused_and_nothing_is_changed(
    two_steps: Orchestration,
) -> None:
    began(two_steps, NOW + 50 * WEEK)
    shapes = [shape(table) for table in catalog.KEYS]
    with pytest.raises(BeyondBound, match="clocks"):
        conversion.convert(NOW, days=7)
    assert [shape(table) for table in catalog.KEYS] == shapes
    assert not catalog.read().is_partitioned


def test_tables_in_use_are_left_alone(
    two_steps: Orchestration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_TRIES", 1)
    execution = began(two_steps, NOW)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            StepRun.objects.filter(execution=execution).update(attempt=1)
            holding.set()
            assert done.wait(20)

    def convert() -> bool:
        assert holding.wait(10)
        try:
            return upkeep.prepare(NOW) == [] and conversion.convert(NOW, days=7)
        finally:
            done.set()

    _, came = at_once(hold, convert)
    assert isinstance(came, Busy), came
    assert not catalog.read().is_partitioned
    upkeep.prepare(NOW)
    assert not catalog.read().has_leftovers


def test_what_a_killed_conversion_left_is_undone_in_time() -> None:
    shapes = [shape(table) for table in catalog.KEYS]
    preparation.add_bounds(first_id(NOW + WEEK))
    assert catalog.read().has_leftovers

    def under_way() -> bool:
        with conversion._only_one():
            upkeep_came = at_once(lambda: upkeep.prepare(NOW))
            return upkeep_came == [[]] and catalog.read().has_leftovers

    assert under_way()
    upkeep.prepare(NOW)
    assert [shape(table) for table in catalog.KEYS] == shapes


def test_connections_may_belong_to_a_pool(settings: Any) -> None:
    """Each is given back, but not in the middle of what is one session's."""
    settings.DB_POOL_SIZE = 1
    assert conversion.convert(NOW, days=7)
    assert upkeep.prepare(NOW)
    assert not conversion.convert(NOW, days=7)


def test_the_command_says_what_there_is() -> None:
    first, second = io.StringIO(), io.StringIO()
    call_command("partition", stdout=first)
    call_command("partition", stdout=second)

    lines = first.getvalue().splitlines()
    assert lines[0].startswith("  first: until 20")
    assert all(line.endswith(", made just now") for line in lines[1:])
    assert len(lines) > periods.AHEAD
    again = second.getvalue().splitlines()
    assert again[0] == "The tables are partitioned already."
    assert again[1:] == [line.removesuffix(", made just now") for line in lines]


def test_the_command_tells_why_not(two_steps: Orchestration) -> None:
    began(two_steps, NOW + 50 * WEEK)
    with pytest.raises(CommandError, match="clocks"):
        call_command("partition")


# --- the time to come -----------------------------------------------------------------


def test_nothing_is_made_for_tables_that_are_not_partitioned() -> None:
    assert upkeep.prepare(NOW) == []
    assert list(retention.sweep()) == []
    assert not catalog.read().is_partitioned


def test_retention_makes_partitions_even_if_it_keeps_everything(
    settings: Any,
) -> None:
    settings.CORE_RETENTION_DAYS = 0
    conversion.convert(NOW - 3 * WEEK, days=7)
    assert list(retention.sweep()) == []
    assert len(names()) == 2 + periods.AHEAD
    assert name_of(NOW) in names()


def test_partitions_are_made_once(weeks: None) -> None:
    there = names()
    assert upkeep.prepare(NOW) == []
    (made,) = upkeep.prepare(NOW + WEEK)
    assert set(names()) - set(there) == {made.name}


def test_new_partitions_are_like_the_old_ones(weeks: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT reloptions FROM pg_class WHERE oid IN (SELECT inhrelid"
            " FROM pg_inherits WHERE inhparent = 'executions_steprun'::regclass)"
        )
        assert cursor.fetchall() == [
            (["fillfactor=75", "autovacuum_vacuum_scale_factor=0.02"],)
        ]


def test_migrations_go_on_working(weeks: None, two_steps: Orchestration) -> None:
    execution = began(two_steps, NOW)
    extra = models.IntegerField(db_default=7)
    extra.set_attributes_from_name("extra")
    extra.model = StepRun
    with connection.schema_editor() as editor:
        editor.add_field(StepRun, extra)
        editor.add_index(Event, models.Index(fields=["type"], name="event_by_type"))
    (made,) = upkeep.prepare(NOW + WEEK)
    late = began(two_steps, periods.moment_of(made.low))
    assert places(late) == {made.name}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO executions_steprun SELECT s.* FROM executions_steprun s"
            " WHERE s.execution_id = %s ON CONFLICT (id) DO UPDATE SET extra = 8"
            " RETURNING extra",
            [execution.pk],
        )
        assert cursor.fetchall() == [(8,), (8,)]
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%(type)%'")
        assert cursor.fetchone()[0] == 2 + len(names())


def test_an_execution_lives_in_its_own_partition(weeks: None) -> None:
    execution = chain("a", "b")
    finish(execution, "a")
    assert lifecycle.settle_and_fail(claimed(execution, "b"), FAILED)
    assert places(execution) == {name_of(NOW)}


def test_late_rows_go_to_the_partition_of_their_execution(
    weeks: None, two_steps: Orchestration
) -> None:
    old = ended(two_steps, NOW - 5 * WEEK, status="failed")
    Event.objects.create(execution=old, type="execution.retried")
    assert places(old) == {name_of(NOW - 5 * WEEK)}
    assert old.events.count() == 3


def test_rows_without_a_partition_go_to_the_rest(
    weeks: None, two_steps: Orchestration
) -> None:
    early = began(two_steps, NOW + 30 * WEEK)
    assert places(early) == {"rest"}

    # The partition that they would be in is not made; those after it are.
    made = upkeep.prepare(NOW + 30 * WEEK)

    assert name_of(NOW + 30 * WEEK) not in [period.name for period in made]
    assert len(made) == periods.AHEAD
    assert early.step_runs.count() == early.events.count() == 2


def test_partitions_are_made_later_when_tables_are_in_use(
    weeks: None, two_steps: Orchestration, caplog: pytest.LogCaptureFixture
) -> None:
    execution = began(two_steps, NOW)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            StepRun.objects.filter(execution=execution).update(attempt=1)
            holding.set()
            assert done.wait(20)

    def prepare() -> list[periods.Period]:
        assert holding.wait(10)
        try:
            return upkeep.prepare(NOW + WEEK)
        finally:
            done.set()

    with caplog.at_level(logging.WARNING):
        assert at_once(hold, prepare) == [None, []]
    assert "made later" in caplog.text
    assert len(upkeep.prepare(NOW + WEEK)) == 1


# --- what is looked into --------------------------------------------------------------

_SCANS = """
SELECT relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0)
FROM pg_stat_xact_user_tables
WHERE relname ~ '^executions_(steprun|event)_'
"""


@contextmanager
def looking_only_into(*periods_named: str) -> Iterator[None]:
    """See that each partition that a transaction's statements scan is of a period."""

    def scans() -> dict[str, int]:
        with connection.cursor() as cursor:
            cursor.execute(_SCANS)
            return dict(cursor.fetchall())

    with transaction.atomic():
        before = scans()
        yield
        after = scans()
    scanned = {name for name, number in after.items() if number > before.get(name, 0)}
    assert scanned
    assert {name.rpartition("_")[2] for name in scanned} <= {*periods_named}


@pytest.fixture
def under_way(weeks: None) -> Execution:
    """An execution that has ended its first step, and failed in its group of two."""
    same = role()
    execution = launched(
        step("a", same), *group("b", "c", of=same), step("d", same, on_error="continue")
    )
    finish(execution, "a")
    assert lifecycle.settle(claimed(execution, "b"), FAILED)
    return execution


def test_reading_looks_into_the_execution_s_own_partition(under_way: Execution) -> None:
    key, plan = under_way.pk, plan_of(under_way)
    a, b, c, _ = plan.steps
    with looking_only_into(name_of(NOW)):
        for _ in range(3):  # whether prepared by then or not
            assert situation.read(key, ["a", "b"])
            assert situation.read_before(key, plan, b, c)
            assert situation.read_all(key, plan)
            assert set(situation.read_each([key], plan, b)) == {key}
            assert situation.all_settled(key, plan, a.block)
            assert not situation.all_settled(key, plan, b.block)
            assert under_way.events.count()


ASKED = lifecycle.Request(by=None)
# What is done to an execution `x` with the claim `c`.
TRANSITIONS: dict[str, Callable[[Execution, lifecycle.Claim], object]] = {
    "settle": lambda x, c: lifecycle.settle(c, DONE),
    "settle from outside": lambda x, c: lifecycle.settle(c, DONE, wake=True),
    "fail with it": lambda x, c: lifecycle.settle_and_fail(c, FAILED),
    "complete with it": lambda x, c: lifecycle.settle_and_complete(c, DONE, None),
    "claim": lambda x, c: lifecycle.settle_and_claim(c, DONE, new_run(x, "d")).next,
    "complete": lambda x, c: lifecycle.complete(x.pk, epoch=1, output=None),
    "terminate": lambda x, c: lifecycle.terminate(x.pk, by=None, reason=None),
    "reset": lambda x, c: lifecycle.reset_step(x.pk, "b", ASKED),
    "resume": lambda x, c: (
        lifecycle.pause(x.pk, ASKED) and lifecycle.resume(x.pk, ASKED)
    ),
    "rest": lambda x, c: not lifecycle.rest(x.pk, among=range(1, 3)),
    "cancel": lambda x, c: (
        lifecycle.request_cancel(x.pk, ASKED, grace=WEEK)
        and not lifecycle.finish_cancel(x.pk)
    ),
    "copy": lambda x, c: lifecycle.copy_runs(x.pk, chain("a").pk, places={"a": 0}),
}


@pytest.mark.parametrize("act", TRANSITIONS.values(), ids=TRANSITIONS)
def test_transitions_look_into_the_execution_s_own_partition(
    under_way: Execution, act: Callable[[Execution, lifecycle.Claim], object]
) -> None:
    claim = claimed(under_way, "c")
    with looking_only_into(name_of(NOW)):
        assert act(under_way, claim)


def test_the_reconciler_looks_into_the_partitions_of_what_is_under_way(
    under_way: Execution, two_steps: Orchestration
) -> None:
    old = began(two_steps, THIS_WEEK - 3 * WEEK)
    lost = claimed(under_way, "c", by=worker(lease_s=-5))
    params = {"quiet": 0, "past": "infinity", "batch": 9, "held": 60}
    with looking_only_into(name_of(NOW), name_of(THIS_WEEK - 3 * WEEK)):
        assert recovery.free_overrun_steps() == 0
        assert old.pk in {row[0] for row in fetch(recovery._SUSPECTS, params)}
        ((_, found, *_),) = fetch(recovery._LAPSED_RUNS, {"batch": 9})
    assert found == lost.run.id
    with looking_only_into(name_of(NOW)):
        assert lifecycle.put_aside(found, among=range(1, 3))


def test_one_table_is_read_by_the_index_of_the_execution(
    two_steps: Orchestration,
) -> None:
    """Many began in the same millisecond; with or without statistics none is read."""
    first = began(two_steps, NOW)
    for _ in range(60):
        began(two_steps, NOW)
    with connection.cursor() as cursor:
        for statistics in ("SELECT 1", "ANALYZE executions_steprun"):
            cursor.execute(statistics)
            cursor.execute(
                f"PREPARE reading(uuid) AS {situation.reading._READ_TOP}"
                % dict.fromkeys(("execution", "lowest", "highest"), "$1")
            )
            cursor.execute("SET enable_seqscan = off")
            cursor.execute(f"EXPLAIN EXECUTE reading('{first.pk}')")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            cursor.execute("DEALLOCATE reading")
            assert "step_run_log" in plan, plan
            assert "executions_steprun_pkey" not in plan, plan
    connection.close()


# --- what leaves ----------------------------------------------------------------------


def test_partitions_leave_whose_executions_are_all_gone(
    weeks: None, two_steps: Orchestration, folder: Path
) -> None:
    old = [ended(two_steps, THIS_WEEK - week * WEEK) for week in (6, 7, 8)]
    young = [ended(two_steps, THIS_WEEK - week * WEEK) for week in (0, 1, 2, 3)]
    there = set(names())

    executions, dropped = swept(days=30)

    gone = there - set(names())
    assert executions == len(old)
    assert dropped == len(gone)
    assert {name_of(THIS_WEEK - week * WEEK) for week in (6, 7, 8)} < gone
    assert not {name_of(THIS_WEEK - week * WEEK) for week in range(4)} & gone
    assert set(Execution.objects.values_list("pk", flat=True)) == {
        one.pk for one in young
    }
    assert StepRun.objects.count() == Event.objects.count() == 2 * len(young)
    assert swept(days=30) == (0, 0)
    lines = []
    for path in folder.glob("*.gz"):
        with gzip.open(path, "rt") as file:
            lines += [json.loads(line) for line in file]
    assert {line["id"] for line in lines} == {str(one.pk) for one in old}
    assert all(len(line["step_logs"]) == len(line["events"]) == 2 for line in lines)


def test_prune_says_how_many_periods_it_dropped(
    weeks: None, two_steps: Orchestration
) -> None:
    ended(two_steps, THIS_WEEK - 6 * WEEK)
    there, first, second = len(names()), io.StringIO(), io.StringIO()
    call_command("prune", days=30, stdout=first)
    call_command("prune", days=30, stdout=second)

    gone = there - len(names())
    assert gone > 1
    assert first.getvalue().splitlines() == [
        "Removed 1 executions and 0 rows of Celery's results.",
        f"Dropped the partitions of {gone} periods.",
    ]
    assert len(second.getvalue().splitlines()) == 1


def test_rows_of_a_dated_partition_are_not_deleted_one_by_one(
    weeks: None, two_steps: Orchestration
) -> None:
    """Three days of its week are old, four are not: it goes on standing."""
    week = THIS_WEEK - 5 * WEEK
    old, young = ended(two_steps, week), ended(two_steps, week + timedelta(days=6))
    days = (datetime.now(UTC) - week - timedelta(days=3)) / timedelta(days=1)

    executions, _ = swept(days=days)

    assert executions == 1
    assert set(Execution.objects.values_list("pk", flat=True)) == {young.pk}
    assert places(old) == places(young) == {name_of(week)}


def test_history_leaves_row_by_row_and_its_partition_in_the_end(
    two_steps: Orchestration,
) -> None:
    old = ended(two_steps, NOW - 40 * WEEK)
    also_old = ended(two_steps, NOW - 12 * WEEK)
    conversion.convert(NOW - 11 * WEEK, days=7)
    upkeep.prepare(NOW)

    assert swept(days=100) == (1, 0)
    assert places(old) == set()
    assert places(also_old) == {"first"}
    assert swept(days=30) == (1, 1)
    assert "first" not in names()
    assert StepRun.objects.count() == Event.objects.count() == 0


@pytest.mark.parametrize("status", ["running", "waiting", "paused"])
def test_an_old_execution_that_lives_keeps_its_rows(
    weeks: None, two_steps: Orchestration, status: str
) -> None:
    week = THIS_WEEK - 8 * WEEK
    living = began(two_steps, week, status=status)
    neighbour = ended(two_steps, week)
    before = (list(living.step_runs.values()), list(living.events.values()))

    assert swept(days=30)[0] == 1

    assert name_of(week) not in names()
    assert places(living) == {"rest"}
    assert places(neighbour) == set()
    assert (list(living.step_runs.values()), list(living.events.values())) == before


def test_what_was_moved_goes_on_and_leaves_in_its_time(
    weeks: None, two_steps: Orchestration
) -> None:
    living = began(two_steps, THIS_WEEK - 8 * WEEK)
    swept(days=30)

    assert lifecycle.complete(living.pk, epoch=1, output=None)
    assert told(living)[-1] == "execution.completed"
    long_ago = NOW - 7 * WEEK
    Execution.objects.filter(pk=living.pk).update(finished_at=long_ago)

    assert swept(days=30) == (1, 0)
    assert StepRun.objects.count() == Event.objects.count() == 0


@pytest.mark.parametrize("limit", ["MOST_MOVED", "MOST_EVENTS", "MOST_BYTES"])
def test_much_that_lives_is_not_moved(
    weeks: None,
    two_steps: Orchestration,
    limit: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, limit, 1)
    week = THIS_WEEK - 8 * WEEK
    living = [began(two_steps, week) for _ in range(2)]
    swept(days=30)
    assert {name for one in living for name in places(one)} == {name_of(week)}


def test_what_is_only_just_old_gets_time_to_leave(
    weeks: None, two_steps: Orchestration
) -> None:
    living = began(two_steps, THIS_WEEK - 5 * WEEK)
    end = THIS_WEEK - 4 * WEEK
    list(upkeep.drop_old(end + upkeep.PATIENCE / 2))
    assert places(living) == {name_of(THIS_WEEK - 5 * WEEK)}
    list(upkeep.drop_old(end + upkeep.PATIENCE))
    assert places(living) == {"rest"}


def test_late_events_of_what_is_gone_find_a_place(
    weeks: None, two_steps: Orchestration
) -> None:
    old = ended(two_steps, THIS_WEEK - 8 * WEEK)
    swept(days=30)
    Event.objects.create(execution_id=old.pk, type="step.settled_by_hand")
    assert places(old) == {"rest"}


# --- and back -------------------------------------------------------------------------


def test_the_way_back_in_the_docs_keeps_what_there_is(two_steps: Orchestration) -> None:
    shapes = [shape(table) for table in catalog.KEYS]
    old, young = ended(two_steps, NOW - 8 * WEEK), began(two_steps, NOW)
    conversion.convert(NOW, days=7)
    upkeep.prepare(NOW)
    before = [rows(table) for table in catalog.KEYS]

    _, _, rest = DOCS.read_text(encoding="utf-8").partition("```sql\n")
    with connection.cursor() as cursor:
        cursor.execute(rest.partition("```")[0])

    assert [shape(table) for table in catalog.KEYS] == shapes
    assert [rows(table) for table in catalog.KEYS] == before
    assert not catalog.read().is_partitioned
    assert swept(days=30) == (1, 0)
    assert list(Execution.objects.all()) == [young] != [old]
    last = Event.objects.latest("id").pk
    assert Event.objects.create(execution=young, type="x").pk > last


# --- the doctor -----------------------------------------------------------------------


def test_the_doctor_says_how_far_partitions_reach(weeks: None) -> None:
    (found,) = diagnosis._partitions()
    end = THIS_WEEK + (1 + periods.AHEAD) * WEEK
    assert found.ok
    assert f"until {end:%Y-%m-%d}" in found.what


def test_the_doctor_misses_the_coming_partition() -> None:
    assert not list(diagnosis._partitions())
    conversion.convert(NOW - 20 * WEEK, days=7)
    (found,) = diagnosis._partitions()
    assert not found.ok
    assert "manage.py partition" in found.cure
    call_command("partition", stdout=io.StringIO())
    (found,) = diagnosis._partitions()
    assert found.ok
