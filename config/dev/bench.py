"""
`dev.py bench`: this system and its peers over the same work, in interleaved rounds.

The runner in `benchmarks` takes this process's place, so that signals reach it: it
then ends what it has started, and reports what it has.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from config.dev import toolchain
from config.dev.layout import ROOT
from config.dev.servers import never_stopped

# The product's own driver starts its processes as the acceptance tests do.
NEEDED = ("embedded", "test", "bench")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and its options; the runner knows all names."""
    command = commands.add_parser(
        "bench",
        help="measure this system beside its peers",
        description="Installs the peers in environments of their own, lets each system "
        "do the same works on the same servers in interleaved rounds, and saves "
        "results.json, RESULTS.md and plots.",
    )
    command.add_argument(
        "--rounds", type=_count, metavar="N", help="how many (default 5)"
    )
    command.add_argument(
        "--only", metavar="NAMES", help="some systems, as core,restate"
    )
    command.add_argument(
        "--works",
        metavar="NAMES",
        help="some works, as W1,W4 (scale, or W6 to W10: the product's)",
    )
    command.add_argument(
        "--quick", action="store_true", help="one round of small sizes, for a try"
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="where to save (default benchmarks)"
    )


def bench(chosen: argparse.Namespace) -> int:
    """Become the runner."""
    python = str(toolchain.ensure(NEEDED, never_stopped))
    words = _words(chosen)
    os.chdir(ROOT)
    os.execv(python, [python, "-m", "benchmarks", *words])  # noqa: S606


def _words(chosen: argparse.Namespace) -> list[str]:
    out = chosen.out.resolve() if chosen.out else None
    given = {
        "--rounds": chosen.rounds,
        "--only": chosen.only,
        "--works": chosen.works,
        "--out": out,
    }
    quick = ["--quick"] if chosen.quick else []
    return [*quick, *(f"{name}={value}" for name, value in given.items() if value)]


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds")
    return int(text)
