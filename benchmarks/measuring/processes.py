"""
Processor time of process trees, and of all that is not the benchmark's.

A child that has ended is counted by its parent, once that has reaped it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name: parent, the four times, and the start.
_PARENT, _TIMES, _START = 1, slice(11, 15), 19
# Fields of the first line of /proc/stat; guests are counted in the first already.
_IDLE, _COUNTED = slice(3, 5), slice(0, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """
    All processes of one moment: their parents and their seconds so far.

    `starts` tells a process from a later one that was given the same id.
    """

    parents: Mapping[int, int]
    seconds: Mapping[int, float]
    starts: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def now(cls) -> Self:
        parents, seconds, starts = {}, {}, {}
        for folder in PROC.iterdir():
            if folder.name.isdigit() and (fields := _stat(folder)):
                pid = int(folder.name)
                parents[pid], starts[pid] = int(fields[_PARENT]), fields[_START]
                seconds[pid] = sum(map(int, fields[_TIMES])) / TICKS
        return cls(parents=parents, seconds=seconds, starts=starts)

    def cpu_seconds(
        self, roots: Collection[int], *, without: Collection[int] = ()
    ) -> float:
        """Sum over these trees, except for the trees below `without`."""
        return sum(self.seconds.get(pid, 0) for pid in self.tree(roots, without))

    def family(self, root: int) -> set[tuple[int, str]]:
        """Return a tree with the starts of its processes."""
        return {
            (pid, self.starts[pid]) for pid in self.tree([root]) & self.starts.keys()
        }

    def tree(self, roots: Collection[int], without: Collection[int] = ()) -> set[int]:
        children: dict[int, list[int]] = {}
        for pid, parent in self.parents.items():
            children.setdefault(parent, []).append(pid)
        found: set[int] = set()
        left = [pid for pid in roots if pid not in without]
        while left:
            pid = left.pop()
            if pid not in found:
                found.add(pid)
                left += [each for each in children.get(pid, ()) if each not in without]
        return found


def _stat(folder: Path) -> list[str]:
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return []


def machine_seconds() -> float:
    """Sum the time that all cores together were busy since the machine's start."""
    first = (PROC / "stat").read_text().splitlines()[0]
    fields = list(map(int, first.split()[1:]))
    return (sum(fields[_COUNTED]) - sum(fields[_IDLE])) / TICKS


def foreign_cores(busy: float, ours: Iterable[float], seconds: float) -> float:
    """Say how many cores others kept busy, of what was measured over some seconds."""
    return max(0.0, busy - sum(ours)) / max(seconds, 0.01)
