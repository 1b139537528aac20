"""Retention: what is old and over leaves, whole and archived; nothing else does."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

# The stubs know no counters of chords.
from django_celery_results.models import (  # type: ignore[attr-defined]
    ChordCounter,
    GroupResult,
    TaskResult,
)
from rest_framework.test import APIClient

from core_orchestration.models import Orchestration
from executions import archive, recovery, retention
from executions.archive import NotArchived
from executions.database import fetch, one_transaction
from executions.identity import step_run_id
from executions.management.commands import reconcile
from executions.models import Event, Execution, StepRun
from executions.retention import Swept, first_id
from executions.states import ACTIVE_EXECUTION, TERMINAL_EXECUTION, values
from tests.integration.engine import at_once, orchestration, role, step, until

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)

OLD, YOUNG = 31.0, 29.0
# What the API computes from the rest, or from what goes on at the moment.
NOT_KEPT = {"context", "step_logs", "waiting_on"}
_numbers = itertools.count(1)


@pytest.fixture
def two_steps(db: None) -> Orchestration:
    same = role()
    return orchestration(step("a", same), step("b", same))


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.CORE_ARCHIVE_DIR = str(tmp_path)
    return tmp_path


def began(made: Orchestration, *, days: float, **fields: Any) -> Execution:
    """Record an execution as if it had been launched so many days ago."""
    assert made.published is not None
    at = timezone.now() - timedelta(days=days)
    new_id = UUID(int=first_id(at).int | 7 << 76 | 2 << 62 | next(_numbers))
    given = {"status": "running", "created_at": at, "started_at": at, **fields}
    return Execution.objects.create(
        id=new_id, orchestration=made, version=made.published, **given
    )


def ended(
    made: Orchestration, *, days: float = OLD, events: int = 3, **fields: Any
) -> Execution:
    """Record an execution of two steps that ended so many days ago."""
    at = timezone.now() - timedelta(days=days)
    given = {"status": "completed", "finished_at": at, **fields}
    execution = began(made, **{"days": days + 0.001, **given})
    for ordinal, path in enumerate("ab"):
        run(execution, path, ordinal, output={"from": path})
    for number in range(events):
        Event.objects.create(
            execution=execution, type="step.completed", path="a", data={"n": number}
        )
    return execution


def run(execution: Execution, path: str, ordinal: int, **fields: Any) -> StepRun:
    return StepRun.objects.create(
        id=step_run_id(execution.pk, path),
        execution=execution,
        ordinal=ordinal,
        path=path,
        key=path,
        **{"status": "completed", "attempt": 1, **fields},
    )


def left() -> set[UUID]:
    return set(Execution.objects.values_list("pk", flat=True))


def removed(**options: Any) -> int:
    return sum(swept.executions for swept in retention.sweep(**options))


def archived(folder: Path) -> list[dict[str, Any]]:
    """Read all that the archive has, as anybody would."""
    found = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found += [json.loads(line) for line in lines]
    return found


# --- what leaves ----------------------------------------------------------------------


@pytest.mark.parametrize("status", values(TERMINAL_EXECUTION))
def test_what_ended_long_ago_leaves_with_all_that_belongs_to_it(
    two_steps: Orchestration, status: str
) -> None:
    ended(two_steps, status=status)

    assert list(retention.sweep()) == [Swept(executions=1)]

    assert left() == set()
    assert not StepRun.objects.exists()
    assert not Event.objects.exists()


def test_what_ended_lately_stays(two_steps: Orchestration) -> None:
    young = ended(two_steps, days=YOUNG)
    slow = ended(two_steps, days=400, finished_at=timezone.now() - timedelta(YOUNG))

    assert removed() == 0

    assert left() == {young.pk, slow.pk}
    assert (StepRun.objects.count(), Event.objects.count()) == (4, 6)


@pytest.mark.parametrize("status", values(ACTIVE_EXECUTION))
def test_what_is_not_over_stays_however_old(
    two_steps: Orchestration, status: str
) -> None:
    execution = began(two_steps, days=400, status=status)
    assert removed() == 0
    assert left() == {execution.pk}


def test_the_days_are_configurable(two_steps: Orchestration, settings: Any) -> None:
    week, day = ended(two_steps, days=7), ended(two_steps, days=1)
    settings.CORE_RETENTION_DAYS = 7.5
    assert removed() == 0
    settings.CORE_RETENTION_DAYS = 6.5
    assert removed() == 1
    assert left() == {day.pk} != {week.pk}
    assert removed(days=0.5) == 1


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan")])
def test_days_that_are_not_above_zero_keep_everything(
    two_steps: Orchestration, settings: Any, days: float
) -> None:
    ended(two_steps, days=4000)
    settings.CORE_RETENTION_DAYS = days
    assert list(retention.sweep()) == []
    assert Execution.objects.count() == 1


@pytest.mark.parametrize("days", [1e6, 1e300, float("inf")])
def test_no_number_of_days_is_too_large(two_steps: Orchestration, days: float) -> None:
    ended(two_steps, days=4000)
    assert removed(days=days) == 0


def test_the_lowest_id_of_a_moment_lies_between_ids_made_before_and_after() -> None:
    moment = datetime(2031, 5, 7, 12, tzinfo=UTC)
    ms = int(moment.timestamp() * 1000)
    last_before = UUID(int=(ms << 80) - 1)
    lowest_uuid7 = UUID(int=ms << 80 | 7 << 76 | 2 << 62)
    assert last_before < first_id(moment) < lowest_uuid7
    assert first_id(datetime(1950, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_children_lose_their_parent_and_stay(two_steps: Orchestration) -> None:
    parent = ended(two_steps)
    leaving = ended(two_steps, parent_execution=parent)
    staying = ended(two_steps, days=YOUNG, parent_execution=leaving)
    other = ended(two_steps, days=YOUNG, parent_execution=staying)

    assert removed() == 2

    assert left() == {staying.pk, other.pk}
    staying.refresh_from_db()
    other.refresh_from_db()
    assert staying.parent_execution_id is None
    assert other.parent_execution_id == staying.pk


# --- in batches -----------------------------------------------------------------------


def test_a_batch_has_at_most_so_many_executions(
    two_steps: Orchestration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    everything = [ended(two_steps, days=40 - number) for number in range(5)]
    counts = []

    for swept in retention.sweep():
        counts.append(swept.executions)
        # Nothing is removed ahead of being asked for, and the oldest leave first.
        assert left() == {one.pk for one in everything[sum(counts) :]}

    assert counts == [2, 2, 1]


def test_a_batch_ends_early_when_executions_have_many_events(
    two_steps: Orchestration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 10)
    for events in (4, 4, 4, 30, 1):
        ended(two_steps, events=events)
    assert [swept.executions for swept in retention.sweep()] == [2, 1, 1, 1]


def test_the_primary_key_leads_to_what_is_old(two_steps: Orchestration) -> None:
    ended(two_steps)
    young = ended(two_steps, days=YOUNG)
    params = retention._bounds(
        timezone.now() - timedelta(30), after=UUID(int=0), batch=100
    )
    with connection.cursor() as cursor:
        columns = ", ".join(
            f'"{field.column}"'
            for field in Execution._meta.concrete_fields
            if not field.primary_key
        )
        cursor.execute(
            f"INSERT INTO executions_execution (id, {columns})"  # noqa: S608
            " SELECT overlay(id::text placing lpad(n::text, 12, '0') from 25)::uuid,"
            f" {columns} FROM executions_execution, generate_series(100001, 120000) n"
            " WHERE id = %s",
            [young.pk],
        )
        cursor.execute("ANALYZE executions_execution")
        for mode in ("force_custom_plan", "force_generic_plan"):
            cursor.execute(f"SET plan_cache_mode = {mode}")
            explained = fetch(f"EXPLAIN {retention._OLDEST}", params)
            plan = "\n".join(row[0] for row in explained)
            assert "Index Scan using executions_execution_pkey" in plan, plan
            assert "Seq Scan on executions_execution" not in plan, plan
    connection.close()


def test_a_batch_takes_the_same_few_statements_whatever_its_size(
    two_steps: Orchestration, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        ended(two_steps)
    statements = []

    def counting(sql: str, params: Any) -> Any:
        statements.append(sql)
        return fetch(sql, params)

    monkeypatch.setattr(retention, "fetch", counting)
    assert removed() == 20
    # The cutoff; results; finding twice, as the second finds nothing; and a removal.
    assert len(statements) == 1 + 3 + 2 + 3


# --- what changes meanwhile -----------------------------------------------------------


def test_an_execution_that_was_brought_back_is_kept(
    two_steps: Orchestration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revived, other = ended(two_steps, status="failed"), ended(two_steps)
    append = archive.append

    def slow_append(*args: Any, **options: Any) -> Path:
        path = append(*args, **options)
        Execution.objects.filter(pk=revived.pk).update(
            status="running", epoch=2, finished_at=None
        )
        return path

    monkeypatch.setattr(archive, "append", slow_append)

    assert removed() == 1

    assert left() == {revived.pk}
    assert (revived.step_runs.count(), revived.events.count()) == (2, 3)
    assert len(archived(folder)) == 2
    assert other.pk not in left()


@pytest.mark.parametrize(
    "changes", [{"epoch": 2}, {"finished_at": timezone.now() - timedelta(60)}]
)
def test_an_execution_that_ended_again_is_kept_until_it_is_archived_so(
    two_steps: Orchestration,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    execution = ended(two_steps)
    remove = retention._remove

    def late_remove(batch: Any) -> int:
        Execution.objects.filter(pk=execution.pk).update(**changes)
        return remove(batch)

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_remove", late_remove)
        assert removed() == 0
    assert removed() == 1
    assert [line["id"] for line in archived(folder)] == [str(execution.pk)] * 2


def test_an_execution_that_somebody_holds_is_passed_by(
    two_steps: Orchestration,
) -> None:
    held, other = ended(two_steps, status="failed"), ended(two_steps)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with one_transaction():
            Execution.objects.select_for_update(no_key=True).get(pk=held.pk)
            holding.set()
            assert done.wait(10)

    def sweep() -> int:
        assert holding.wait(10)
        try:
            return removed()
        finally:
            done.set()

    assert at_once(hold, sweep) == [None, 1]
    assert left() == {held.pk} != {other.pk}


def test_two_at_once_remove_everything_once(
    two_steps: Orchestration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    everything = [ended(two_steps) for _ in range(20)]
    for parent, child in itertools.pairwise(everything):
        Execution.objects.filter(pk=child.pk).update(parent_execution=parent)

    came = at_once(removed, removed)

    assert sum(each for each in came if isinstance(each, int)) == 20, came
    assert left() == set()
    ids = [line["id"] for line in archived(folder)]
    assert sorted(ids) == sorted(str(one.pk) for one in everything)


def test_two_at_once_on_different_machines_remove_everything_once(
    two_steps: Orchestration, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without an archive nothing but the database is between them.
    monkeypatch.setattr(retention, "BATCH", 3)
    everything = [ended(two_steps) for _ in range(20)]
    for parent, child in itertools.pairwise(everything):
        Execution.objects.filter(pk=parent.pk).update(parent_execution=child)

    came = at_once(removed, removed, removed)

    assert sum(each for each in came if isinstance(each, int)) == 20, came
    assert left() == set()


# --- the archive ----------------------------------------------------------------------


def test_a_line_says_what_the_api_says(folder: Path, staff_api: APIClient) -> None:
    same = role()
    execution = ended(
        orchestration(step("a", same), step("b", same), output="{{ output }}"),
        input={"text": "ä\n😀", "deep": [{"n": 1.5}]},
        output="done",
        error=None,
        role_pins={"x": "y"},
    )
    runs = StepRun.objects.filter(execution=execution)
    runs.filter(path="a").update(
        input=[1], exports={"z": 1}, usage={"tokens": 3}, role_name="R"
    )
    runs.filter(path="b").update(error={"type": "t"}, usage={"tokens": 4})
    told = staff_api.get(f"/api/v1/executions/{execution.pk}/").json()

    assert removed() == 1

    (line,) = archived(folder)
    known = told.keys() - NOT_KEPT
    assert {name: line[name] for name in known} == {name: told[name] for name in known}
    assert [log["exports"] for log in line["step_logs"]] == [{"z": 1}, None]
    for kept, shown in zip(line["step_logs"], told["step_logs"], strict=True):
        known = shown.keys() - NOT_KEPT
        assert {name: kept[name] for name in known} == {
            name: shown[name] for name in known
        }
    assert [event["data"] for event in line["events"]] == [{"n": n} for n in range(3)]
    assert {event["type"] for event in line["events"]} == {"step.completed"}
    assert line["events"][0].keys() == {"id", "type", "path", "at", "data"}
    assert (line["usage"], line["role_pins"]) == ({"tokens": 7}, {"x": "y"})


def test_an_execution_without_steps_or_events_is_a_line_too(
    two_steps: Orchestration, folder: Path
) -> None:
    execution = began(
        two_steps,
        days=OLD,
        status="cancelled",
        finished_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    assert removed() == 1
    (line,) = archived(folder)
    assert line["id"] == str(execution.pk)
    assert (line["step_logs"], line["events"]) == ([], [])


def test_steps_and_events_are_in_their_order(
    two_steps: Orchestration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_RUNS_AT_ONCE", 3)
    monkeypatch.setattr(archive, "_EVENTS_AT_ONCE", 4)
    execution = ended(two_steps, events=11)
    for number in range(2, 10):
        run(execution, f"s{number}", 10 - number)
    paths = StepRun.objects.order_by("ordinal", "path").values_list("path", flat=True)
    expected = list(paths)

    removed()

    (line,) = archived(folder)
    assert [each["path"] for each in line["step_logs"]] == expected
    assert [each["data"]["n"] for each in line["events"]] == list(range(11))


def test_archiving_needs_no_more_memory_for_more_steps(
    two_steps: Orchestration, folder: Path
) -> None:
    execution = ended(two_steps)
    for number in range(80):
        run(execution, f"s{number}", number, output="x" * 2**20)

    tracemalloc.start()
    assert removed() == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 60 * 2**20
    (line,) = archived(folder)
    assert sum(len(each["output"]) for each in line["step_logs"][2:]) > 79 * 2**20


def test_nothing_leaves_when_there_is_no_folder(
    two_steps: Orchestration, folder: Path, settings: Any
) -> None:
    settings.CORE_ARCHIVE_DIR = str(folder / "missing")
    execution = ended(two_steps)

    with pytest.raises(NotArchived, match="missing"):
        removed()

    assert left() == {execution.pk}
    assert (execution.step_runs.count(), execution.events.count()) == (2, 3)


def test_nothing_leaves_when_the_disk_is_full(
    two_steps: Orchestration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = ended(two_steps)

    def full(_file: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_sync", full)
        with pytest.raises(NotArchived, match="No space left"):
            removed()
    assert left() == {execution.pk}
    assert archived(folder) == []

    assert removed() == 1
    assert len(archived(folder)) == 1


def test_one_that_cannot_be_archived_stays_and_holds_nobody_up(
    two_steps: Orchestration,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    bad, *good = [ended(two_steps) for _ in range(5)]
    with connection.cursor() as cursor:  # a number that no JSON of Python's can hold
        cursor.execute(
            "UPDATE executions_steprun SET output = to_jsonb(1e400 + 0.5)"
            " WHERE execution_id = %s",
            [bad.pk],
        )

    with caplog.at_level(logging.ERROR):
        assert [swept.executions for swept in retention.sweep()] == [1, 2, 1]

    assert left() == {bad.pk}
    assert {line["id"] for line in archived(folder)} == {str(one.pk) for one in good}
    (told,) = caplog.records
    assert str(bad.pk) in told.getMessage()


def test_a_line_is_written_before_anything_is_removed(
    two_steps: Orchestration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = ended(two_steps)
    seen: list[Any] = []

    def looking(_batch: object) -> int:
        seen.extend(line["id"] for line in archived(folder))
        assert not connection.in_atomic_block
        return 0

    monkeypatch.setattr(retention, "_remove", looking)
    removed()
    assert seen == [str(execution.pk)]
    assert left() == {execution.pk}


# --- Celery's results -----------------------------------------------------------------


def result(task_id: str, *, days: float) -> None:
    TaskResult.objects.create(task_id=task_id)
    at = timezone.now() - timedelta(days=days)
    TaskResult.objects.filter(task_id=task_id).update(date_done=at)


def counter(group_id: str, *task_ids: str) -> None:
    tasks = json.dumps([[[task_id, None], None] for task_id in task_ids])
    ChordCounter.objects.create(group_id=group_id, sub_tasks=tasks, count=2)


def test_old_results_leave_and_young_ones_stay() -> None:
    result("old", days=OLD)
    result("young", days=YOUNG)
    for group_id, days in (("old", OLD), ("young", YOUNG)):
        GroupResult.objects.create(group_id=group_id)
        at = timezone.now() - timedelta(days=days)
        GroupResult.objects.filter(group_id=group_id).update(date_done=at)

    assert sum(swept.results for swept in retention.sweep()) == 2

    assert [row.task_id for row in TaskResult.objects.all()] == ["young"]
    assert [row.group_id for row in GroupResult.objects.all()] == ["young"]


def test_old_chords_leave_and_young_ones_stay() -> None:
    counter("never ran", "x1", "x2")
    counter("half done", "old", "x3")
    counter("under way", "young", "x4")
    counter("new", "x5")
    result("old", days=OLD)
    result("young", days=YOUNG)

    assert sum(swept.results for swept in retention.sweep()) == 3

    ids = ChordCounter.objects.order_by("id").values_list("group_id", flat=True)
    assert list(ids) == ["under way", "new"]


def test_results_leave_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    for number in range(25):
        result(str(number), days=OLD)
    assert [swept.results for swept in retention.sweep()] == [10, 10, 5]


def test_results_leave_even_if_executions_cannot(
    two_steps: Orchestration, folder: Path, settings: Any
) -> None:
    settings.CORE_ARCHIVE_DIR = str(folder / "missing")
    ended(two_steps)
    result("old", days=OLD)
    with pytest.raises(NotArchived):
        removed()
    assert not TaskResult.objects.exists()


# --- the reconciler -------------------------------------------------------------------


@pytest.fixture
def reconciler(
    monkeypatch: pytest.MonkeyPatch, broker: Any
) -> Iterator[reconcile.Reconciler]:
    """A reconciler whose minute is over at its first tick."""
    monkeypatch.setattr(reconcile, "_RETENTION_S", 0.0)
    made = reconcile.Reconciler()
    monkeypatch.setattr(reconcile, "_RETENTION_S", 3600.0)
    yield made
    made.retention._thread.shutdown()
    connection.close()


def tick_until_gone(reconciler: reconcile.Reconciler) -> int:
    """Tick until no execution is left, each time after the last batch is done."""
    ticks = itertools.count(1)

    def gone() -> int:
        batch = reconciler.retention._batch
        if batch and not batch.done():
            return 0
        reconciler.tick()
        number = next(ticks)
        return 0 if left() else number

    return int(until(gone, "the end of retention"))


def test_the_reconciler_removes_what_is_old_batch_by_batch(
    two_steps: Orchestration,
    folder: Path,
    reconciler: reconcile.Reconciler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(6):
        ended(two_steps)

    assert tick_until_gone(reconciler) >= 3
    assert len(archived(folder)) == 6


def test_a_disk_that_hangs_delays_no_round(
    two_steps: Orchestration,
    folder: Path,
    reconciler: reconcile.Reconciler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended(two_steps)
    hung, freed = threading.Event(), threading.Event()
    append = archive.append

    def hanging(*args: Any, **options: Any) -> Path:
        hung.set()
        assert freed.wait(10)
        return append(*args, **options)

    rounds: list[int] = []
    monkeypatch.setattr(archive, "append", hanging)
    monkeypatch.setattr(recovery, "free_lost_steps", lambda: rounds.append(1))

    reconciler.tick()
    assert hung.wait(10)
    for _ in range(5):
        reconciler.tick()
    assert len(rounds) == 6
    freed.set()
    until(lambda: not left(), "the end of retention")


def test_a_fault_is_told_and_tried_again_later(
    two_steps: Orchestration,
    folder: Path,
    reconciler: reconcile.Reconciler,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.CORE_ARCHIVE_DIR = str(folder / "later")
    execution = ended(two_steps)
    until(lambda: _ticked(reconciler), "the end of a batch")
    reconciler.tick()

    assert left() == {execution.pk}
    (told,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "Create the folder" in told.getMessage()

    (folder / "later").mkdir()
    reconciler.retention._next_sweep = 0.0
    assert tick_until_gone(reconciler)


def _ticked(reconciler: reconcile.Reconciler) -> bool:
    batch = reconciler.retention._batch
    if batch is None:
        reconciler.tick()
        return False
    return batch.done()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("an oversight"), "it is tried again in a minute"),
        (OperationalError("gone"), "Retention waits for PostgreSQL: gone"),
    ],
)
def test_no_error_ends_a_reconciler(
    reconciler: reconcile.Reconciler,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    told: str,
) -> None:
    def broken() -> Iterator[Swept]:
        raise error
        yield

    monkeypatch.setattr(retention, "sweep", broken)
    until(lambda: _ticked(reconciler), "the end of a batch")
    reconciler.tick()
    assert told in caplog.text
    assert reconciler._elected


def test_a_reconciler_that_is_not_elected_removes_nothing(
    two_steps: Orchestration,
    reconciler: reconcile.Reconciler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended(two_steps)
    monkeypatch.setattr(reconciler, "_elect", lambda: False)
    reconciler.tick()
    assert reconciler.retention._batch is None
    assert len(left()) == 1


# --- by hand --------------------------------------------------------------------------


def prune(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    try:
        call_command("prune", *words)
    finally:
        printed = capsys.readouterr().out
    return printed.strip()


def test_prune_counts_and_removes(
    two_steps: Orchestration,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for days in (OLD, OLD, OLD, YOUNG):
        ended(two_steps, days=days)
    result("old", days=OLD)

    would = "Would remove 3 executions and 1 rows of Celery's results."
    assert prune(capsys, "--dry-run") == would
    assert len(left()) == 4
    assert prune(capsys) == would.replace("Would remove", "Removed")
    assert len(left()) == 1
    assert prune(capsys, "--days", "28.5").startswith("Removed 1 executions")
    assert prune(capsys, "--days", "28.5").startswith("Removed 0 executions")


def test_prune_needs_days_where_everything_is_kept(
    two_steps: Orchestration,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.CORE_RETENTION_DAYS = 0.0
    ended(two_steps)
    with pytest.raises(CommandError, match="give --days"):
        prune(capsys)
    assert prune(capsys, "--days", "30").startswith("Removed 1 executions")


@pytest.mark.parametrize("days", ["0", "-3", "nan", "many"])
def test_prune_takes_days_above_zero(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="a number of days above 0"):
        prune(capsys, f"--days={days}")


def test_prune_says_why_nothing_could_leave(
    two_steps: Orchestration,
    folder: Path,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.CORE_ARCHIVE_DIR = str(folder / "missing")
    ended(two_steps)
    with pytest.raises(CommandError, match="Create the folder"):
        prune(capsys)
    assert len(left()) == 1
