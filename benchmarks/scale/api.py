"""
W7: the API under sixteen clients, with a small past and with a great one.

Each kind of request is put to both installations in alternation. Then, with nothing
else running, the statements of each are counted and the plans of its queries read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.core.fleet import Fleet
from benchmarks.scale import kinds, load, plans
from benchmarks.scale.findings import Finding, Judged, Past, at_most, table
from benchmarks.scale.installation import Installation
from benchmarks.scale.kinds import EXECUTE, Kind
from benchmarks.scale.load import Answers, Rounds
from benchmarks.scale.plans import Plan
from config.dev.layout import ROOT
from config.dev.terminal import say

TIMES = 1.3
STRETCH_S, QUICK_S = 1.5, 0.5
ROUNDS, QUICK_ROUNDS = 5, 1
_OPEN = "SELECT count(*) FROM executions_execution WHERE finished_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one kind of request made PostgreSQL do."""

    statements: int
    plans: tuple[Plan, ...]

    @property
    def faults(self) -> list[str]:
        return [fault for plan in self.plans for fault in plan.faults]

    @property
    def ms(self) -> float:
        return sum(plan.ms for plan in self.plans)


Loads = Mapping[str, Rounds]


def compare(
    few: Installation, many: Installation, past: Past, *, quick: bool
) -> Finding:
    """Load both; the bar is for the ratio of the lists' medians."""
    with _ready(few) as (one, its), _ready(many) as (other, others):
        fleets = {few.name: (one, its), many.name: (other, others)}
        loads = _loads(fleets, quick=quick)
    asked = _asked(many, others)
    return finding(loads[few.name], loads[many.name], asked, past)


@contextmanager
def _ready(installation: Installation) -> Iterator[tuple[Fleet, list[Kind]]]:
    with installation.fleet() as fleet:
        tokens = {name: _token(fleet, name) for name in ("admin", "rare", "ada")}
        yield fleet, kinds.of(fleet.port, tokens)


def _token(fleet: Fleet, username: str) -> str:
    command = [sys.executable, "manage.py", "create_api_key", username]
    done = subprocess.run(
        command, cwd=ROOT, env=dict(fleet.env), capture_output=True, check=True
    )
    return f"Bearer {done.stdout.decode().strip()}"


def _loads(
    fleets: Mapping[str, tuple[Fleet, list[Kind]]], *, quick: bool
) -> dict[str, dict[str, Rounds]]:
    found: dict[str, dict[str, Rounds]] = {name: {} for name in fleets}
    together = zip(*(its for _, its in fleets.values()), strict=True)
    for kinds_here in together:
        ports = [fleet for fleet, _ in fleets.values()]
        parts = _alternating(list(zip(ports, kinds_here, strict=True)), quick=quick)
        for name, rounds in zip(fleets, parts, strict=True):
            found[name][kinds_here[0].name] = rounds
        times = parts[-1].times(parts[0])
        say(f"  W7 {kinds_here[0].name}: {times:.2f} times that with few")
    return found


def _alternating(sides: Sequence[tuple[Fleet, Kind]], *, quick: bool) -> list[Rounds]:
    """Load both sides in turn, so that both meet the same states of the machine."""
    parts: list[list[Answers]] = [[] for _ in sides]
    seconds = QUICK_S if quick else STRETCH_S
    for number in range(QUICK_ROUNDS if quick else ROUNDS):
        order = list(zip(sides, parts, strict=True))
        for (fleet, kind), found in order[:: -1 if number % 2 else 1]:
            found.append(load.put(fleet.port, kind, seconds=seconds))
            if kind.name == EXECUTE:
                _drain(fleet)
    return [Rounds(parts=each) for each in parts]


def _drain(fleet: Fleet) -> None:
    """Let all that was started end."""
    while fleet.database.execute(_OPEN).fetchone() != (0,):
        time.sleep(0.2)


def _asked(installation: Installation, its: Sequence[Kind]) -> dict[str, Asked]:
    """Have each request answered once in a process that looks at itself."""
    lines = "\n".join(json.dumps(_request(kind)) for kind in its)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.asking"],
        cwd=ROOT,
        env=installation.environment(),
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        kind.name: Asked(
            statements=answer["statements"],
            plans=tuple(map(plans.read, answer["plans"])),
        )
        for kind, answer in zip(its, answers, strict=True)
    }


def _request(kind: Kind) -> dict[str, str]:
    return {"method": kind.method, "path": kind.path, "token": kind.token}


INTRODUCTION = """\
{clients} clients at once, each of which puts the same request again and again; "few" is
a database with {few:,} executions, "many" one with {many:,}. Lists are pages of
executions. "p50, times" is the median of the rounds, many over few. The last two
columns are of one request with many: its statements, and the time that PostgreSQL
takes for those that read executions."""
HEADS = (
    "Request",
    "few: requests/s",
    "few: p50, ms",
    "few: p99, ms",
    "many: requests/s",
    "many: p50, ms",
    "many: p99, ms",
    "p50, times",
    "statements",
    "PostgreSQL, ms",
)


def finding(few: Loads, many: Loads, asked: Mapping[str, Asked], past: Past) -> Finding:
    rows = [
        [
            _titled(name),
            *_shown(few[name]),
            *_shown(many[name]),
            _ratio(few, many, name),
            asked[name].statements,
            asked[name].ms if asked[name].plans else "–",
        ]
        for name in few
    ]
    faults = [f"- {name}: {fault}" for name in asked for fault in asked[name].faults]
    remarks = "\n".join(faults) or "Every list is read along an index."
    begin = INTRODUCTION.format(clients=load.CLIENTS, few=past.few, many=past.many)
    return Finding(
        work="W7",
        name="The API under load",
        figures={name: _figures(few, many, asked, name) for name in few},
        markdown=f"{begin}\n\n{table(HEADS, rows)}\n\n{remarks}",
        bars=_bars(few, many, past),
    )


def _bars(few: Loads, many: Loads, past: Past) -> tuple[Judged, ...]:
    return tuple(
        at_most(
            f"{_titled(name)}: p50 of {past.many:,} executions over {past.few:,}",
            _ratio(few, many, name),
            TIMES,
        )
        for name in few
        if _is_list(name)
    )


def _is_list(name: str) -> bool:
    return name in kinds.LISTS + kinds.MORE


def _titled(name: str) -> str:
    return f"list, {name}" if _is_list(name) else name


def _figures(
    few: Loads, many: Loads, asked: Mapping[str, Asked], name: str
) -> dict[str, Any]:
    return {
        "few": _shown(few[name]),
        "many": _shown(many[name]),
        "ratio": _ratio(few, many, name),
        "statements": asked[name].statements,
        "ms": asked[name].ms,
        "nodes": [node for plan in asked[name].plans for node in plan.nodes],
        "faults": asked[name].faults,
    }


def _shown(rounds: Rounds) -> list[float]:
    whole = rounds.whole
    return [whole.rate, whole.p50_ms, whole.p99_ms]


def _ratio(few: Loads, many: Loads, name: str) -> float:
    return many[name].times(few[name])
