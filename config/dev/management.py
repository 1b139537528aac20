"""`dev.py manage`: a `manage.py` command in the environment of the running system."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config.dev import runfile, toolchain
from config.dev.environment import for_application, given
from config.dev.layout import ROOT, Data, shown
from config.dev.servers import never_stopped
from config.dev.terminal import DevError


def manage(path: Path, words: Sequence[str]) -> int:
    """Run `manage.py` with these words, and return its exit code."""
    data = Data(path)
    run = runfile.read(data) if runfile.is_running(data) else None
    if run is None:
        raise DevError(
            f"Nothing runs on {shown(path)}. Start it with `python3 dev.py up`; with "
            "servers of your own, set their variables and use manage.py itself."
        )
    python = toolchain.ensure(toolchain.RUNNING, never_stopped)
    command = [str(python), "manage.py", *words]
    env = environment(data, run)
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode  # noqa: S603


def environment(data: Data, run: Mapping[str, Any]) -> dict[str, str]:
    """Return what the processes of a running installation have."""
    return for_application(
        given(),
        url=run["url"],
        secret_key=data.secret_key(),
        encryption_key=data.encryption_key(),
        database_url=run["database_url"],
        redis_url=run["redis_url"],
    )
