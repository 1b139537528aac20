"""
Let an agent act by writing Python: programs that call its tools, in a sandbox.

The interpreter is Monty's, in worker processes of its own. It reaches nothing but the
tools, and whoever answers their calls decides about each: the sandbox is one layer.
"""

from __future__ import annotations

from roles.runners.codemode.pool import close, configure
from roles.runners.codemode.programs import (
    CallRecord,
    Limits,
    ProgramError,
    ProgramResult,
)
from roles.runners.codemode.running import run_program
from roles.runners.codemode.stubs import instructions, stubs

__all__ = [
    "CallRecord",
    "Limits",
    "ProgramError",
    "ProgramResult",
    "close",
    "configure",
    "instructions",
    "run_program",
    "stubs",
]
