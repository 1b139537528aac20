"""The whole system as a client sees it: real servers, real workers, HTTP."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg

from config.dev.guard import Guard
from config.dev.layout import Data
from config.dev.process import Child, Spec
from config.dev.table import Application

TERMINAL = {"completed", "failed", "cancelled", "timed_out"}
_numbers = itertools.count(1)


def until(met: Callable[[], Any], *, seconds: float = 30, what: str = "it") -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := met()):
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)  # noqa: TID251  (a client's poll)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def step(name: str, role: str, **fields: Any) -> dict[str, Any]:
    """Write a step as a client does."""
    return {"name": name, "role_name": role, **fields}


class System:
    """One fleet on the session's servers, and a client with a key to it."""

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str],
        *,
        guard: Guard | None = None,
        workers: int = 1,
    ) -> None:
        self.port = free_port()
        self.env = env
        self.guard = guard or Guard()
        self.application = Application(
            python=Path(sys.executable),
            data=Data(folder),
            env=env,
            port=self.port,
            workers=workers,
            processors=2,
        )
        self.children: dict[str, Child] = {}
        credentials = self._bootstrap()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1/",
            headers={"Authorization": f"Bearer {credentials['api_key']}"},
            timeout=20,
        )
        self.database = psycopg.connect(env["DATABASE_URL"], autocommit=True)

    def _bootstrap(self) -> dict[str, Any]:
        spec = self.application.bootstrap(demo=False)
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(  # noqa: S603
            spec.command,
            env=spec.env,
            cwd=spec.cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        credentials: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return credentials

    # --- processes --------------------------------------------------------------

    def start(self) -> None:
        for spec in self.application.specs():
            self.start_one(spec)
        until(self._is_ready, seconds=60, what="a ready system")

    def start_one(self, spec: Spec) -> Child:
        self.children[spec.name] = Child(spec, self.guard, tied=False)
        return self.children[spec.name]

    def restart(self, name: str) -> Child:
        spec = next(s for s in self.application.specs() if s.name == name)
        return self.start_one(spec)

    def kill(self, name: str) -> None:
        """SIGKILL a process and all that it started."""
        self.children.pop(name).finish()

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and self._pools() == {"cpu", "io"}

    def _pools(self) -> set[str]:
        rows = self.database.execute(
            "SELECT queues FROM executions_worker WHERE lease_until > now()"
        )
        queues = {queue for (queues,) in rows for queue in queues}
        return queues & {"cpu", "io"}

    def stop(self) -> None:
        for child in self.children.values():
            child.signal(signal.SIGTERM)
        for child in self.children.values():
            child.wait(10)
            child.finish()
        self.client.close()
        self.database.close()
        self.guard.close()

    # --- what a client does -----------------------------------------------------

    def post(self, path: str, body: Any, *, status: int) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def role(self, function: str, **fields: Any) -> str:
        """Make a role for a registered function, and return its name."""
        name = f"{function} {next(_numbers)}"
        config = {"function": function, **fields.pop("config", {})}
        body = {"name": name, "kind": "function", "config": config, **fields}
        self.post("roles/", body, status=201)
        return name

    def orchestration(self, *steps: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        name = f"Orchestration {next(_numbers)}"
        body = {"name": name, "steps": steps, **fields}
        made: dict[str, Any] = self.post("orchestrations/", body, status=201)
        return made

    def execute(self, orchestration: Mapping[str, Any], given: Any = None) -> str:
        path = f"orchestrations/{orchestration['id']}/execute/"
        return str(self.post(path, {"input": given or {}}, status=202)["id"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"executions/{execution_id}/")
        return found

    def finished(self, execution_id: str, *, seconds: float = 30) -> dict[str, Any]:
        """Wait for an execution's end, and return it."""

        def ended() -> dict[str, Any] | None:
            found = self.execution(execution_id)
            return found if found["status"] in TERMINAL else None

        result: dict[str, Any] = until(ended, seconds=seconds, what="the end")
        return result

    def run(
        self, *steps: Mapping[str, Any], given: Any = None, **fields: Any
    ) -> dict[str, Any]:
        """Make an orchestration, execute it, and return how it ended."""
        seconds = fields.pop("seconds", 30)
        made = self.orchestration(*steps, **fields)
        return self.finished(self.execute(made, given), seconds=seconds)

    def started(self, execution_id: str, key: str) -> dict[str, Any]:
        """Wait until a step runs, and return its log."""

        def running() -> dict[str, Any] | None:
            logs = logs_by_key(self.execution(execution_id))
            return logs[key] if logs.get(key, {}).get("status") == "running" else None

        log: dict[str, Any] = until(running, what=f"{key} running")
        return log


def logs_by_key(execution: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {log["step_key"]: log for log in execution["step_logs"]}
