"""
The driver's side of the protocol: JSON lines on stdin and stdout.

Standard library alone, since drivers run in environments of their own. A driver
says that it is ready, does one repetition per line, and ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

Work = Callable[..., Mapping[str, Any]]
PROC = Path("/proc")
MS = 1000


def serve(
    works: Mapping[str, Work],
    processes: Mapping[str, Sequence[int]],
    versions: Mapping[str, str],
) -> None:
    """
    Answer requests until the input ends; what was started is the caller's to stop.

    `processes` are root pids by role ("workers", "server"...): everything that
    descends from them counts as theirs. This process itself is the client.
    """
    answers = _own_stdout()
    roots = {role: list(pids) for role, pids in processes.items()}
    _tell(answers, {"ready": True, "processes": roots, "versions": dict(versions)})
    for line in sys.stdin:
        if line.strip():
            _tell(answers, _answer(works, json.loads(line)))


def _answer(works: Mapping[str, Work], request: dict[str, Any]) -> Mapping[str, Any]:
    name = request.pop("work", None)
    work = works.get(name) if isinstance(name, str) else None
    if work is None:
        return {"unsupported": f"no {name} in this driver"}
    try:
        return work(**request)
    except Exception as error:  # noqa: BLE001  (the next may work)
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def _own_stdout() -> TextIO:
    """Keep stdout for answers; what a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(2, 1)
    return answers


def _tell(answers: TextIO, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


class Stopwatch:
    """Seconds since it was made, by a clock that never jumps."""

    def __init__(self) -> None:
        self.since = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.since


def latencies_ms(
    once: Callable[[], object], count: int, *, pause: float = 0.02, warm: int = 3
) -> list[float]:
    """Time one call after another, on a system that was idle before each."""
    timed = []
    for _ in range(warm + count):
        watch = Stopwatch()
        once()
        timed.append(watch.seconds * MS)
        time.sleep(pause)
    return timed[warm:]


def pss_mb(pids: Iterable[int]) -> float:
    """Sum the proportional memory of these processes and all their descendants."""
    return round(sum(_pss_kb(pid) for pid in tree(pids)) / 1024, 1)


def tree(roots: Iterable[int]) -> list[int]:
    """List these processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: dict[int, None] = {}
    left = list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found[pid] = None
            left += children.get(pid, [])
    return list(found)


def _parents() -> Iterator[tuple[int, int]]:
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                stat = (folder / "stat").read_text()
                yield int(folder.name), int(stat.rpartition(")")[2].split()[1])


def peaks_mb(pids: Iterable[int]) -> list[float]:
    """List the most that each of these and their descendants ever had in memory."""
    return [round(_line_kb(pid, "status", "VmHWM:") / 1024, 1) for pid in tree(pids)]


def _pss_kb(pid: int) -> int:
    return _line_kb(pid, "smaps_rollup", "Pss:")


def _line_kb(pid: int, file: str, head: str) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(head):
                return int(line.split()[1])
    return 0
