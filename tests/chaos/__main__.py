"""The command line of a chaos run; `dev.py chaos` calls it with the right Python."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from config.dev.signals import STOPPING
from config.dev.terminal import StoppedError, say
from tests.chaos import report, verdict
from tests.chaos.fleet import ChaosFleet
from tests.chaos.plan import faults
from tests.chaos.run import Run

_MOST_LOGS, _MOST_SHOWN = 5, 40
_INTERRUPTED = 130
_ID = re.compile(r"execution ([0-9a-f-]{36})")


def main() -> int:
    chosen = _arguments()
    seed, seconds = chosen.seed, chosen.minutes * 60
    say(f"chaos: seed {seed}, {chosen.minutes:g} minutes")
    _on_stop(_stop)
    fleet = None
    try:
        fleet = ChaosFleet()
        fleet.start()
        return _judged(_ran(fleet, seed, seconds), chosen)
    except StoppedError:
        say("chaos: stopped")
        return _INTERRUPTED
    finally:
        _on_stop(signal.SIG_IGN)
        if fleet is not None:
            fleet.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    parser.add_argument("--logs", type=Path, help="keep the logs here in any case")
    return parser.parse_args()


def _on_stop(action: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in STOPPING:
        signal.signal(number, action)


def _stop(number: int, frame: FrameType | None) -> None:
    """End once; what follows is cleaning up, which nothing interrupts."""
    _on_stop(signal.SIG_IGN)
    raise StoppedError


def _ran(fleet: ChaosFleet, seed: int, seconds: float) -> Run:
    run = Run(fleet, seed)
    try:
        run.go(faults(seed, seconds), seconds)
    finally:
        run.end()
    return run


def _judged(run: Run, chosen: argparse.Namespace) -> int:
    """Print what was measured; the exit code says whether everything held."""
    counted = report.figures(run.fleet, run.client, run.hits)
    found = run.broken + verdict.violations(run.fleet, run.client, run.load.roles)
    found += [f"{each} never went on" for each in counted["not_recovered"]]
    counted |= {
        "seed": chosen.seed,
        "minutes": chosen.minutes,
        "violations": found,
    }
    say("\n" + report.text(counted) + "\n")
    if chosen.report:
        chosen.report.write_text(json.dumps(counted, indent=2) + "\n")
    if found or chosen.logs:
        _keep(run, found, chosen.logs)
    say(f"chaos: {len(found)} violations with seed {chosen.seed}")
    return 1 if found else 0


def _keep(run: Run, found: list[str], wanted: Path | None) -> None:
    """Say what was violated, and keep what tells why."""
    folder = wanted or Path(tempfile.mkdtemp(prefix="core-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    for log in run.fleet.traces.parent.rglob("*.log*"):
        shutil.copy(log, folder)
    for each in found[:_MOST_SHOWN]:
        say(f"  VIOLATION  {each}")
    executions = dict.fromkeys(_ID.findall("\n".join(found)))
    for number, execution in enumerate(executions):
        told = f"execution {execution}\n{verdict.event_log(run.fleet, execution)}\n"
        (folder / f"execution-{execution}.events").write_text(told)
        if number < _MOST_LOGS:
            say(told)
    say(f"  logs are kept in {folder}")


if __name__ == "__main__":
    sys.exit(main())
