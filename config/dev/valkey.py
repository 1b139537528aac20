"""
An embedded Valkey: its command line and its readiness.

It keeps an append-only file and never evicts: what it holds are queued messages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from config.dev.process import SERVER_TIER, Spec
from config.dev.terminal import DevError


@dataclass(frozen=True, slots=True, kw_only=True)
class Valkey:
    folder: Path
    sockets: Path
    server: Path
    log: Path
    durable: bool = True
    name: str = "valkey"
    passing_trouble: str | None = None

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._reply() is not None:
            raise DevError(
                f"A Valkey already answers on {self.socket}. Stop it first "
                f"(its process id: fuser {self.socket})."
            )

    def spec(self) -> Spec:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec" if self.durable else "no",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        options = [word for name in settings for word in (f"--{name}", settings[name])]
        return Spec(
            name=self.name,
            command=(str(self.server), *options),
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd=self.folder,
            log=self.log,
            grace=5.0,
            tier=SERVER_TIER,
        )

    def ready(self, pid: int) -> bool:
        return self._reply() == b"+PONG"

    def wipe(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reply(self) -> bytes | None:
        """Return the answer to a PING; None when nobody listens."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(64).strip()
        return None
