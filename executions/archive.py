"""
Executions as lines of JSON in compressed files, for when they leave the database.

One file a day, to which each append adds a gzip member; members in a row are one
valid gzip file. When an append returns, its lines are on the disk to stay.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import mmap
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework.utils.encoders import JSONEncoder

from executions import pinned, record
from executions.models import Event, Execution
from executions.spending import exchanges, reports
from executions.spending.reports import StepSpending

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)
# A gzip member of nothing, written once everything before it is on the disk. A file
# that does not end so was being written when the machine or the process died. JSON
# text holds none of these bytes, so a search finds no other place than an end.
SEAL = bytes.fromhex("1f8b08000000000000ff03000000000000000000")
_NEW = os.O_RDWR | os.O_CREAT
_MODE = 0o640  # the lines hold everything that steps were given and returned
# Outputs may be large: so few step runs are in memory at a time.
_RUNS_AT_ONCE, _EVENTS_AT_ONCE = 20, 500


# --- files ----------------------------------------------------------------------------


class NotArchived(Exception):
    """The archive cannot be written, so nothing may leave; the message helps."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Be the only one on this machine that adds to a folder; others wait.

    Raises NotArchived in place of every OSError in the block.
    """
    try:
        with open(os.open(folder / ".lock", _NEW, _MODE), "rb") as lock:
            # A file, not the folder itself: NFS locks only what is open for writing.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise NotArchived(
            f"Finished executions stay: the archive in {folder} cannot be written "
            f"({error}). Create the folder, let this process write there, or free "
            "space; without CORE_ARCHIVE_DIR they are removed and not archived."
        ) from error


def append(folder: Path, text: Iterable[str], *, day: date) -> Path:
    """
    Add lines, given in pieces of any size, to the file of a day.

    The caller holds the lock. Raises OSError when the disk does not take them; then,
    as after any other error, the file is as it was.
    """
    path = folder / f"executions-{day.isoformat()}.jsonl.gz"
    start = _mended(path)
    try:
        with open(os.open(path, _NEW, _MODE), "r+b") as file:
            file.seek(start)
            _write(file, text)
    except BaseException:
        _cut(path, start)
        raise
    _sync_folder(folder)
    return path


def _write(file: BinaryIO, text: Iterable[str]) -> None:
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as member:
        for piece in text:
            member.write(piece.encode())
    _sync(file)
    file.write(SEAL)
    _sync(file)


def _mended(path: Path) -> int:
    """
    Return where to go on in a file, after cutting off an append that was cut short.

    Nothing is lost with the torn lines: what they are about leaves the database only
    after the seal. A file without any seal may be somebody else's: it is put aside.
    """
    size = path.stat().st_size if path.exists() else 0
    end = _sealed_end(path) if size else 0
    if end == size:
        return size
    if end:
        log.warning("%s was cut short: its torn last lines are written anew.", path)
        _cut(path, end)
        return end
    aside = path.with_name(f"{path.name}.torn-{time.time_ns()}")
    log.warning("%s was cut short: it is now %s, and a new one begins.", path, aside)
    path.rename(aside)
    return 0


def _cut(path: Path, end: int) -> None:
    if end:
        os.truncate(path, end)
    else:
        path.unlink(missing_ok=True)


def _sealed_end(path: Path) -> int:
    """Return where the last seal of a file ends, 0 if it has none."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        found = content.rfind(SEAL)
        return found + len(SEAL) if found >= 0 else 0


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file survive, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- lines ----------------------------------------------------------------------------


def line(execution_id: UUID) -> Iterator[str]:
    """
    Write an execution as the API shows it, and its events, piece by piece.

    `context` is left out, because it repeats the outputs and exports of the steps; so
    does the `output` of an orchestration that defines none, which is null here. Nothing
    comes of an execution that is gone.
    """
    rows = Execution.objects.select_related("orchestration", "version", "created_by")
    execution = rows.defer("version__definition").filter(pk=execution_id).first()
    if execution is None:
        return
    plan = pinned.plan(str(execution.version_id))
    rows = execution.step_runs.filter(cursor=None)
    runs = _in_pages(rows.order_by("ordinal", "path"), _RUNS_AT_ONCE)
    spent = reports.of_steps(execution_id)
    calls = exchanges.calls_of(execution_id) if spent else {}
    logs = (
        record.step_log(run, plan, spent=spent)
        | {"exports": run.exports, "calls": calls.get(run.pk, [])}
        for run in runs
    )
    events = _in_pages(
        execution.events.order_by("transaction_id", "id"), _EVENTS_AT_ONCE
    )
    yield _json(_head(execution, spent)).removesuffix("}")
    yield from _list("step_logs", logs)
    yield from _list("events", map(_told, events))
    yield "}\n"


def _head(execution: Execution, spent: Mapping[UUID, StepSpending]) -> dict[str, Any]:
    usage = execution.step_runs.exclude(usage=None).only("usage")
    return record.summary(execution) | {
        "idempotency_key": execution.idempotency_key,
        "role_pins": execution.role_pins,
        "input": execution.input,
        "output": execution.output,
        "usage": record.total_usage(usage, spent),
    }


def _told(event: Event) -> dict[str, Any]:
    return {
        "id": f"{event.transaction_id}-{event.pk}",
        "type": event.type,
        "path": event.path,
        "at": event.created_at,
        "data": event.data,
    }


def _in_pages(rows: QuerySet[M], size: int) -> Iterator[M]:
    """Read rows in their order with few of them in memory."""
    ids = list(rows.values_list("pk", flat=True))
    for start in range(0, len(ids), size):
        page = ids[start : start + size]
        found = rows.order_by().in_bulk(page)
        yield from (found.pop(each) for each in page)


def _list(name: str, items: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield f', "{name}": ['
    for number, item in enumerate(items):
        yield (", " if number else "") + _json(item)
    yield "]"


def _json(value: Any) -> str:
    return json.dumps(value, cls=JSONEncoder, ensure_ascii=False, allow_nan=False)
