"""
The command line of the benchmarks; `dev.py bench` calls it with the right Python.

What was measured is saved also when the run is stopped before its end.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import report, scaling, servers, works
from benchmarks.machine import Machine
from benchmarks.rounds import Results, Rounds
from benchmarks.servers import Servers
from benchmarks.systems import BY_NAME, HERE, System
from benchmarks.venvs import HOME, Installed, Skipped, install
from config.dev.signals import STOPPING
from config.dev.terminal import StoppedError, complain, say

ROUNDS = 5
_INTERRUPTED = 130


def main() -> int:
    chosen = _arguments()
    _on_stop(_stop)
    results = Results()
    try:
        with servers.running() as running:
            return _measured(chosen, running, results)
    except StoppedError:
        say("bench: stopped")
        return _INTERRUPTED
    finally:
        _on_stop(signal.SIG_IGN)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", type=_names, default=tuple(BY_NAME))
    parser.add_argument("--works", type=_works, default=())
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE)
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    return _listed(text, tuple(BY_NAME))


def _works(text: str) -> tuple[str, ...]:
    return _listed(text.upper(), (*works.TITLES, *scaling.NAMES, scaling.ALL))


def _listed(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(text.split(","))
    if unknown := [name for name in named if name not in known]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: there are {', '.join(known)}"
        )
    return named


def _on_stop(action: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in STOPPING:
        signal.signal(number, action)


def _stop(number: int, frame: FrameType | None) -> None:
    """End once; what follows is cleaning up, which nothing interrupts."""
    _on_stop(signal.SIG_IGN)
    raise StoppedError


def _measured(chosen: argparse.Namespace, running: Servers, results: Results) -> int:
    """Run all rounds; the report is written whatever comes of them."""
    rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    machine = Machine.described(running)
    systems = _installed(chosen.only, results)
    scaled: list[dict[str, Any]] = []
    logs = HOME / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    try:
        Rounds(
            servers=running,
            systems=systems,
            cases=works.of(chosen.works),
            logs=logs,
            quick=chosen.quick,
            results=results,
        ).run(rounds)
        scaled += scaling.scale(running, chosen, results.skipped)  # one by one
    finally:
        if results.repetitions or scaled or results.skipped:
            report.write(chosen.out, results, machine, scaled, quick=chosen.quick)
    return 0


def _installed(
    names: tuple[str, ...], results: Results
) -> dict[str, tuple[System, Installed]]:
    """Install what can be installed, and say loudly what cannot."""
    systems = {}
    for name in names:
        try:
            systems[name] = (BY_NAME[name], install(BY_NAME[name]))
        except Skipped as reason:
            results.skipped[name] = str(reason)
            complain(f"bench: SKIPPED {name}: {reason}")
    return systems


if __name__ == "__main__":
    sys.exit(main())
