"""
An embedded PostgreSQL: its cluster, its command line and its readiness.

It listens on a Unix socket that only its own user (and root) can open, so trusting
that socket needs no password.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.dev.account import Account, owner_of
from config.dev.process import SERVER_TIER, Spec
from config.dev.shelter import own
from config.dev.terminal import DevError
from config.dev.wheels import Binaries

DATABASE = "core"
INITDB = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# For tests: a crash of the machine may lose everything.
VOLATILE = {"fsync": "off", "full_page_writes": "off"}
READY_LINE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """`folder` holds the cluster; `sockets` is a folder that the account owns."""

    folder: Path
    sockets: Path
    binaries: Binaries
    log: Path
    account: Account | None
    durable: bool = True
    name: str = "postgres"
    # Children of a killed server may need a moment to notice and let go.
    passing_trouble: str = "shared memory block"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self.sockets}"

    @property
    def cluster(self) -> Path:
        return self.folder / "data"

    @property
    def runs_as(self) -> Account | None:
        """A cluster made by an ordinary user keeps that user when root starts it."""
        if self.account is not None and self.cluster.exists():
            return owner_of(self.cluster) or self.account
        return self.account

    def prepare(self) -> None:
        own(self.folder, self.runs_as)
        own(self.sockets, self.runs_as)
        if not self.cluster.exists():
            self._create_cluster()
        self._clear_pid_file()

    def spec(self) -> Spec:
        settings = SETTINGS | ({} if self.durable else VOLATILE)
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Spec(
            name=self.name,
            command=(
                str(self.binaries.postgres),
                *("-D", str(self.cluster), "-k", str(self.sockets), *options),
            ),
            env=_environment(),
            cwd=Path("/"),
            log=self.log,
            account=self.runs_as,
            stop_signal=signal.SIGINT,  # "fast": disconnects clients
            grace=15.0,
            tier=SERVER_TIER,
        )

    def ready(self, pid: int) -> bool:
        """Read in the server's own note whether it accepts connections."""
        lines = self._pid_file_lines()
        return (
            len(lines) > READY_LINE
            and lines[0].strip() == str(pid)
            and lines[READY_LINE].strip() == "ready"
        )

    def wipe(self) -> None:
        shutil.rmtree(self.cluster, ignore_errors=True)

    def _create_cluster(self) -> None:
        """Make it beside its place, so a half-made one is never taken for whole."""
        draft = self.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        sync = () if self.durable else ("--no-sync",)
        self._run(str(self.binaries.initdb), "-D", str(draft), *INITDB, *sync)
        single = (str(self.binaries.postgres), "--single", "-D", str(draft), "postgres")
        self._run(*single, text=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(self.cluster)

    def _run(self, *command: str, text: str = "") -> None:
        account = self.account
        done = subprocess.run(  # noqa: S603
            command,
            input=text,
            text=True,
            capture_output=True,
            check=False,
            env=_environment(),
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode != 0:
            raise DevError(
                f"PostgreSQL could not make its files in {self.folder}:\n"
                f"{done.stderr.strip()}"
            )

    def _clear_pid_file(self) -> None:
        """Remove the note of a dead server, whose number another process may have."""
        pid = next(iter(self._pid_file_lines()), "").strip()
        if not pid.isdigit() or not os.path.exists(self.cluster / "postmaster.pid"):
            return
        if str(self.cluster) in _command_line(int(pid)):
            raise DevError(
                f"A PostgreSQL (process {pid}) already runs on {self.cluster}. "
                f"Stop it first: kill -INT {pid}"
            )
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _pid_file_lines(self) -> list[str]:
        with contextlib.suppress(OSError):
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        return []


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def _command_line(pid: int) -> str:
    """Return nothing when there is no such process."""
    proc = Path("/proc")
    if (proc / "self").exists():
        with contextlib.suppress(OSError):
            return (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        return ""
    listed = subprocess.run(  # noqa: S603
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout
