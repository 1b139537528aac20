"""The report of a run: all figures as JSON, tables in Markdown, a plot per work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bars
from benchmarks.machine import Machine
from benchmarks.report import document, plots
from benchmarks.rounds import Results
from config.dev.terminal import say

TOP = 5


def write(
    out: Path,
    results: Results,
    machine: Machine,
    scaled: Sequence[dict[str, Any]],
    *,
    quick: bool,
) -> None:
    """Save everything in this folder, in place of what an earlier run saved."""
    out.mkdir(parents=True, exist_ok=True)
    verdicts = [*bars.judged(results.repetitions), *bars.read(scaled)]
    saved = {
        "quick": quick,
        "machine": dataclasses.asdict(machine),
        "versions": results.versions,
        "skipped": results.skipped,
        "bars": [dataclasses.asdict(verdict) for verdict in verdicts],
        "statements": statements(results),
        "scale": list(scaled),
        "repetitions": [dataclasses.asdict(each) for each in results.repetitions],
    }
    (out / "results.json").write_text(json.dumps(saved, indent=1) + "\n")
    text = document.text(results, machine, verdicts, scaled, quick=quick)
    (out / "RESULTS.md").write_text(text)
    plots.draw(results.repetitions, out / "plots")
    say(f"bench: saved in {out}")


def statements(results: Results) -> dict[str, Any]:
    """Sum up what each database was asked."""
    return {
        name: {
            "count": tally.count,
            "commits": tally.commits,
            "rollbacks": tally.rollbacks,
            "most": [dataclasses.asdict(each) for each in tally.most(TOP, "count")],
            "longest": [dataclasses.asdict(each) for each in tally.most(TOP, "ms")],
        }
        for name, tally in results.statements.items()
    }
