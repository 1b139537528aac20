"""
`dev.py test`: the linters and the whole suite, with everything they need.

Arguments that are not its own go to pytest, and then pytest alone runs.
`--faults` is the whole of the fault suite, of which a normal run has the fast part.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from config.dev import toolchain
from config.dev.layout import ROOT
from config.dev.process import dying_with_parent
from config.dev.servers import never_stopped
from config.dev.terminal import say

NO_LINT, FAULTS = "--no-lint", "--faults"
FAULT_TESTS = "tests/faults"
LINT_IMPORTS = (
    "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports_command())"
)
LINTERS: dict[str, tuple[str, ...]] = {
    "ruff check": ("-m", "ruff", "check"),
    "ruff format": ("-m", "ruff", "format", "--check"),
    "mypy": ("-m", "mypy"),
    "import-linter": ("-c", LINT_IMPORTS),
}

# The type checker imports the settings, which ask for these; nothing connects.
PLACEHOLDERS = {
    "CORE_SECRET_KEY": "only-for-type-checking",
    "DATABASE_URL": "postgresql:///core",
    "REDIS_URL": "redis://localhost",
}


def test(arguments: Sequence[str]) -> int:
    """Run all, and return the exit code of the first that failed."""
    python = str(toolchain.ensure(toolchain.EVERYTHING, never_stopped))
    rest = for_pytest(arguments)
    lint = not rest and NO_LINT not in arguments
    codes = {
        name: _call(name, {**PLACEHOLDERS, **os.environ}, python, *words)
        for name, words in LINTERS.items()
        if lint
    }
    codes["pytest"] = _call("pytest", os.environ, python, "-m", "pytest", *rest)
    failed = [name for name, code in codes.items() if code]
    if failed and failed != ["pytest"]:
        say(f"failed: {', '.join(failed)} (see above)")
    return codes[failed[0]] if failed else 0


def for_pytest(arguments: Sequence[str]) -> list[str]:
    """Return what pytest is told; naming the fault tests' folder runs all of them."""
    faults = [FAULT_TESTS] if FAULTS in arguments else []
    own = (NO_LINT, FAULTS)
    return faults + [argument for argument in arguments if argument not in own]


def _call(name: str, env: Mapping[str, str], *command: str) -> int:
    """Run in the foreground; Ctrl-C is the tool's to handle."""
    say(f"--- {name}")
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.run(  # noqa: S603
            command,
            cwd=ROOT,
            env={**env, "PYTHONUNBUFFERED": "1"},
            check=False,
            preexec_fn=dying_with_parent(signal.SIGTERM),
        ).returncode
    finally:
        signal.signal(signal.SIGINT, before)
