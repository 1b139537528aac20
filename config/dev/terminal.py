"""
What a person at the terminal reads: progress lines, and problems with a cure.

Writing never fails: the terminal may be gone while the processes are still to be
stopped.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


class DevError(Exception):
    """Something a person has to put right; the message says what and how."""


class StoppedError(Exception):
    """A stop signal arrived before the system was up."""


def say(line: str = "") -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def complain(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def tail(log: Path, lines: int = 20) -> str:
    """Return the end of a log, indented, or a note that there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "    (no log was written)"
    return "\n".join("    " + line for line in text.splitlines()[-lines:])
