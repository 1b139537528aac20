"""The figures of a run: as JSON for programs, and as aligned text for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.chaos.client import Client
from tests.chaos.faults import Hit
from tests.chaos.fleet import ChaosFleet
from tests.chaos.recovery import History, Recoveries
from tests.chaos.verdict import happened

PROMISE_S = 30.0

_EXECUTIONS = (
    "SELECT status, count(*) FROM executions_execution GROUP BY 1 ORDER BY 2 DESC"
)
_STEPS = "SELECT status, count(*) FROM executions_steprun GROUP BY 1 ORDER BY 2 DESC"
_TOTALS = """
SELECT (SELECT coalesce(sum(resends), 0) FROM executions_execution),
  (SELECT coalesce(sum(attempt), 0) FROM executions_steprun),
  (SELECT count(*) FROM executions_event WHERE data->>'type' = 'worker_lost'),
  (SELECT count(*) FROM executions_event)
"""


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Return the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def summary(kind: str, recoveries: Sequence[Recoveries]) -> dict[str, Any]:
    """Sum up all faults of a kind; one is survived when all that it struck went on."""
    seconds = [each for found in recoveries for each in found.seconds]
    return {
        "kind": kind,
        "done": len(recoveries),
        "survived": sum(not found.missing for found in recoveries),
        "struck": len(seconds) + sum(len(found.missing) for found in recoveries),
        "p50_s": percentile(seconds, 50),
        "p99_s": percentile(seconds, 99),
        "max_s": max(seconds, default=None),
        "within_30_s": sum(each <= PROMISE_S for each in seconds),
    }


def figures(fleet: ChaosFleet, client: Client, hits: Sequence[Hit]) -> dict[str, Any]:
    """Count everything once the fleet has come to rest."""
    resends, attempts, crashes, events = fleet.query(_TOTALS)[0]
    history = History.of(happened(fleet))
    found = [(hit, history.recoveries(hit)) for hit in hits]
    kinds = sorted({hit.fault.kind for hit in hits})
    return {
        "accepted": len(client.accepted),
        "executions": dict(fleet.query(_EXECUTIONS)),
        "step_runs": dict(fleet.query(_STEPS)),
        "attempts": int(attempts),
        "crashes": crashes,
        "resends": int(resends),
        "events": events,
        "effects": len(fleet.sink.effects),
        "answers": _answers(client),
        "faults": [
            summary(kind, [each for hit, each in found if hit.fault.kind == kind])
            for kind in kinds
        ],
        "hits": [_hit(hit, each) for hit, each in found],
        "not_recovered": [each for _, one in found for each in one.missing],
    }


def _answers(client: Client) -> dict[str, dict[str, int]]:
    answers: dict[str, dict[str, int]] = {}
    for (verb, code), count in sorted(client.answers.items()):
        answers.setdefault(verb, {})[code] = count
    return answers


def _hit(hit: Hit, found: Recoveries) -> dict[str, Any]:
    return {
        "planned_at_s": hit.fault.at,
        "kind": hit.fault.kind,
        "target": hit.target,
        "began": hit.began.isoformat(),
        "away_s": round((hit.returned - hit.began).total_seconds(), 2),
        "recoveries_s": [round(each, 2) for each in found.seconds],
        "missing": found.missing,
        "note": hit.note,
    }


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Align cells: words to the left, numbers to the right."""
    text = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *text, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(heads), line(["-" * w for w in widths]), *map(line, text)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def text(counted: Mapping[str, Any]) -> str:
    """Write the figures for people."""
    lines = [
        f"  accepted    {counted['accepted']}",
        f"  executions  {_pairs(counted['executions'])}",
        f"  step runs   {_pairs(counted['step_runs'])}",
        f"  attempts    {counted['attempts']}, {counted['crashes']} lost with a worker",
        f"  resends     {counted['resends']}",
        f"  events      {counted['events']}",
        f"  effects     {counted['effects']} seen by the sink",
    ]
    answers = [(verb, _pairs(codes)) for verb, codes in counted["answers"].items()]
    lines += [f"  {verb:<11} {codes}" for verb, codes in answers]
    heads = (
        "fault",
        "done",
        "survived",
        "struck",
        "p50 s",
        "p99 s",
        "max s",
        "<= 30 s",
    )
    rows = [tuple(each.values()) for each in counted["faults"]]
    return "\n".join([*lines, "", table(heads, rows)])


def _pairs(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
