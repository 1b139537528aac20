"""
`dev.py chaos`: faults at random, on a fleet of its own, for some minutes.

The runner in `tests/chaos` is started with everything that it needs. Stop signals
are handed on to it, and it is waited for: it stops its servers and processes.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from config.dev import toolchain
from config.dev.layout import ROOT
from config.dev.process import dying_with_parent
from config.dev.servers import never_stopped
from config.dev.signals import STOPPING

DEFAULT_MINUTES = 10.0
NEEDED = ("embedded", "test")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and its options."""
    command = commands.add_parser(
        "chaos",
        help="strike a loaded fleet with random faults, and check what must hold",
        description="Runs random orchestrations on servers and processes of its own; "
        "kills, freezes and wipes these; and then checks what must hold after any "
        "fault. A seed names the faults and the work. Ends with 1 if something does "
        "not hold.",
    )
    command.add_argument(
        "--minutes",
        type=_minutes,
        default=DEFAULT_MINUTES,
        metavar="N",
        help=f"for how long (default {DEFAULT_MINUTES:g})",
    )
    command.add_argument(
        "--seed", type=int, metavar="S", help="repeat a run (default: draw one)"
    )
    command.add_argument(
        "--report", type=Path, metavar="FILE", help="write the figures as JSON"
    )
    command.add_argument(
        "--logs",
        type=Path,
        metavar="DIR",
        help="keep all logs there (default: in a new folder, if something was wrong)",
    )


def chaos(chosen: argparse.Namespace) -> int:
    """Run it to its end; 0 when all held."""
    python = toolchain.ensure(NEEDED, never_stopped)
    command = [str(python), "-m", "tests.chaos", *_words(chosen)]
    runner = subprocess.Popen(  # noqa: S603
        command,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=dying_with_parent(signal.SIGTERM),
    )
    with _handing_on(runner):
        return runner.wait()


def _words(chosen: argparse.Namespace) -> list[str]:
    seed = secrets.randbelow(10**6) if chosen.seed is None else chosen.seed
    places = {"--report": chosen.report, "--logs": chosen.logs}
    return [
        f"--minutes={chosen.minutes}",
        f"--seed={seed}",
        *(f"{name}={path.resolve()}" for name, path in places.items() if path),
    ]


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes")
    return minutes


@contextmanager
def _handing_on(runner: subprocess.Popen[bytes]) -> Iterator[None]:
    def hand_on(number: int, frame: FrameType | None) -> None:
        if runner.poll() is None:
            runner.send_signal(number)

    before: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, hand_on) for number in STOPPING
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
