"""
A normal installation on the benchmark's servers: web, two workers, a reconciler.

It is what `dev.py up` starts, from the same table, so nothing is tuned for the race.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.dev.process import Spec
from tests.acceptance.system import System

WEB, CPU, IO, RECONCILER = "web", "worker-cpu-1", "worker-io-1", "reconciler"
NOTHING, WAIT = "bench.nothing", "bench.wait"
# Settings in the shell would change what is measured.
_OURS = ("CORE_", "DATABASE_", "REDIS_", "DJANGO_")


def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """Make the environment of every process, and of Django in this one."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return {
        **outer,
        "CORE_SECRET_KEY": secrets.token_urlsafe(50),
        "CORE_FUNCTION_MODULES": "benchmarks.core.steps",
        "CORE_RETENTION_DAYS": "365",  # a seeded history is to stay
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }


class Fleet(System):
    """`prefork` processes serve the cpu queue; the table's own number is two."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], *, prefork: int = 2
    ) -> None:
        self._prefork = prefork
        super().__init__(folder, env)

    def start_one(self, spec: Spec) -> Any:
        words = list(spec.command)
        if spec.name == CPU:
            words[words.index("-c") + 1] = str(self._prefork)
        return super().start_one(dataclasses.replace(spec, command=tuple(words)))

    def pid(self, name: str) -> int:
        return self.children[name].pid

    def processes(self) -> dict[str, list[int]]:
        """Name the root processes by what they are."""
        return {
            "workers": [self.pid(CPU), self.pid(IO)],
            "web": [self.pid(WEB)],
            "reconciler": [self.pid(RECONCILER)],
        }

    @property
    def token(self) -> str:
        return str(self.client.headers["Authorization"])

    def use(self, function: str) -> str:
        """Make a role for a function, under a new name; return the name."""
        name = _new_name(function)
        body = {"name": name, "kind": "function", "config": {"function": function}}
        self.post("roles/", body, status=201)
        return name

    def make(self, *steps: Mapping[str, Any]) -> str:
        """Make an orchestration, under a new name; return its id."""
        return str(self.orchestration(*steps, name=_new_name("bench"))["id"])

    def chain(self, length: int) -> str:
        """Make an orchestration of steps one after another."""
        role = self.use(NOTHING)
        return self.make(*(_step(f"s{number}", role) for number in range(length)))

    def fan(self, width: int) -> str:
        """Make one of steps side by side, and a step that joins them."""
        role = self.use(NOTHING)
        names = [f"s{number}" for number in range(width)]
        steps = [_step(name, role, parallel_group="fan") for name in names]
        return self.make(*steps, _step("join", role))

    def wait(self) -> str:
        """Make one of a step that waits on an event loop, as long as its input says."""
        given = {"seconds": "{{ context.input.seconds }}"}
        return self.make(_step("wait", self.use(WAIT), input_mapping=given))

    def map(self, window: int) -> str:
        """Make one of a map over its input's items, so many at a time, of one step."""
        config = {"items": "{{ context.input.items }}", "max_parallel": window}
        body = [_step("do", self.use(NOTHING))]
        spelled = {"name": "map", "key": "map", "step_type": "map"}
        return self.make({**spelled, "config": config, "steps": body})


def _step(key: str, role: str, **fields: Any) -> dict[str, Any]:
    return {"name": key, "key": key, "role_name": role, **fields}


def _new_name(of: str) -> str:
    return f"{of} {secrets.token_hex(4)}"
