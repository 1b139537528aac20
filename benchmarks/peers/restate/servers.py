"""
The two processes of Restate, which listen on loopback alone.

One is a node of its server, with a log and a store of its own in place of
PostgreSQL; the other is the Python service that it calls.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

GRACE_S, START_S = 20, 60
DIRECT = build_opener(ProxyHandler({}))  # whatever proxy the environment names


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """`ingress` is the host and port that invocations are sent to."""

    ingress: str
    server: int
    service: int


@contextlib.contextmanager
def running(scratch: Path) -> Iterator[Servers]:
    """Start both, and introduce them to each other, for the length of a block."""
    ingress, admin, node, service = (f"127.0.0.1:{port}" for port in _free_ports(4))
    shutil.rmtree(scratch / "restate", ignore_errors=True)
    env = _environment(scratch / "restate", ingress, admin, node)
    hypercorn = (sys.executable, "-m", "hypercorn", "--config", "hypercorn.toml")
    with (
        (scratch / "restate.log").open("ab") as log,
        _child((os.environ["RESTATE_SERVER"],), log.fileno(), env) as server,
        _child((*hypercorn, "--bind", service, "service:app"), log.fileno()) as python,
    ):
        uri = {"uri": f"http://{service}"}
        _await("registration", f"http://{admin}/deployments", uri)
        _await("health check", f"http://{ingress}/restate/health")
        yield Servers(ingress=ingress, server=server, service=python)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _environment(folder: Path, ingress: str, admin: str, node: str) -> dict[str, str]:
    direct = {name: value for name, value in os.environ.items() if not _is_proxy(name)}
    return {
        **direct,
        "RESTATE_BASE_DIR": str(folder),
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": node,
        "RESTATE_ADVERTISED_ADDRESS": f"http://{node}",
        "RESTATE_INGRESS__BIND_ADDRESS": ingress,
        "RESTATE_ADMIN__BIND_ADDRESS": admin,
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")


@contextlib.contextmanager
def _child(
    command: Sequence[str], log: int, env: dict[str, str] | None = None
) -> Iterator[int]:
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(what: str, url: str, body: object = None) -> None:
    """Repeat the request until its answer is a good one."""
    problem: object = "no answer"
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            _request(url, body)
        except OSError as error:  # refused, or answered badly
            problem = error
        else:
            return
        time.sleep(0.2)
    raise RuntimeError(f"Restate: {what} failed for {START_S} s: {problem}")


def _request(url: str, body: object) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with DIRECT.open(request, timeout=START_S) as answer:
        answer.read()
