"""
SQL statements of a repetition, out of the server's own log.

The embedded PostgreSQL counts no statements, so for one untimed repetition it logs
each with its duration. The log's lines are `{database pid} LOG:  duration: ...`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.servers import Servers

LOGGED = {
    "log_line_prefix": "{%d %p} ",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "0",
}
RELOAD_S = 0.5
LONGEST = 240
_ENTRY = re.compile(r"\{(\S+) (\d+)\} (\w+):  (.*)", re.DOTALL)
_TIMED = re.compile(
    r"duration: ([\d.]+) ms  (statement|execute|parse|bind)[^:]*: (.*)", re.DOTALL
)
_REPLACED = (
    (re.compile(r"\s+"), " "),
    (re.compile(r"'(?:[^']|'')*'"), "?"),
    (re.compile(r"(?i)\b(SAVEPOINT) \"?\w+\"?"), r"\1 ?"),
    (re.compile(r"\$\d+"), "?"),
    (re.compile(r"(?<![\w\"])-?\d+(?:\.\d+)?\b"), "?"),
    (re.compile(r"\(\?(?:::[\w\[\]]+)?(?:, ?\?(?:::[\w\[\]]+)?)+\)"), "(?, ...)"),
    (re.compile(r"\(\?, \.\.\.\)(?:, ?\(\?, \.\.\.\))+"), "(?, ...), ..."),
)
_COLUMN = r"(?:\"\w+\")(?:\.\"\w+\")*"
_COLUMNS = re.compile(rf"({_COLUMN})(?:, {_COLUMN}){{2,}}")
_BEGIN, _COMMIT, _ROLLBACK = ("BEGIN", "START"), ("COMMIT", "END"), ("ROLLBACK",)


@dataclass(slots=True, kw_only=True)
class Statement:
    """One kind of statement: how often it was executed, and how long in all."""

    text: str
    count: int = 0
    ms: float = 0.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one database was asked."""

    kinds: dict[str, Statement] = field(default_factory=dict)
    commits: int = 0
    rollbacks: int = 0
    _open: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        return sum(kind.count for kind in self.kinds.values())

    def most(self, number: int, by: str) -> list[Statement]:
        """Return the first by `count` or by `ms`."""
        order = sorted(self.kinds.values(), key=lambda kind: -getattr(kind, by))
        return order[:number]

    def add(self, backend: str, phase: str, ms: float, text: str) -> None:
        """Planning belongs to a statement's time; only its execution is counted."""
        normal = normalised(text)
        kind = self.kinds.setdefault(normal, Statement(text=normal))
        kind.ms += ms
        if phase in ("statement", "execute"):
            kind.count += 1
            self._follow(backend, normal)

    def _follow(self, backend: str, text: str) -> None:
        """Outside of a transaction, each statement is one."""
        word = text.partition(" ")[0].upper().rstrip(";")
        if word in _BEGIN:
            self._open.add(backend)
        elif word in _COMMIT or (backend not in self._open):
            self._open.discard(backend)
            self.commits += 1
        elif word in _ROLLBACK and " TO " not in text.upper():
            self._open.discard(backend)
            self.rollbacks += 1


def tally(lines: Iterable[str], database: str) -> Tally:
    """Count the statements to this database."""
    counted = Tally()
    for entry in entries(lines):
        parts = _ENTRY.fullmatch(entry)
        timed = parts and parts[1] == database and _TIMED.fullmatch(parts[4])
        if parts and timed:
            counted.add(parts[2], timed[2], float(timed[1]), timed[3])
    return counted


def entries(lines: Iterable[str]) -> Iterator[str]:
    """Join an entry's further lines, which begin with a tab."""
    entry = ""
    for line in lines:
        if line.startswith("\t"):
            entry += "\n" + line.strip()
        else:
            if entry:
                yield entry
            entry = line.rstrip("\n")
    if entry:
        yield entry


def normalised(text: str) -> str:
    """Drop values, and what differs from one execution to the next."""
    for pattern, put in _REPLACED:
        text = pattern.sub(put, text)
    return text.strip()


def shortened(text: str) -> str:
    """Leave out most columns of a list, and the end of what is long."""
    short = _COLUMNS.sub(r"\1, ...", text)
    return short if len(short) <= LONGEST else f"{short[:LONGEST]} ..."


@contextmanager
def logged(servers: Servers, database: str) -> Iterator[list[Tally]]:
    """Log every statement inside the block; its tally is in the list afterwards."""
    found: list[Tally] = []
    begin = _switch(servers, on=True)
    try:
        yield found
        with servers.postgres_log.open(errors="replace") as log:
            log.seek(begin)
            found.append(tally(log, database))
    finally:
        _switch(servers, on=False)


def _switch(servers: Servers, *, on: bool) -> int:
    with servers.connect() as admin:
        for name, value in LOGGED.items():
            to = f"SET {name} = '{value}'" if on else f"RESET {name}"
            admin.execute(f"ALTER SYSTEM {to}".encode())
        admin.execute("SELECT pg_reload_conf()")
    time.sleep(RELOAD_S)
    return size(servers.postgres_log)


def size(path: Path) -> int:
    return path.stat().st_size
