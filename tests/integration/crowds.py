"""Steps that wait side by side: what they wait for, and how the test meets them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from executions.models import Execution
from executions.signatures import Address
from executions.worker import patience
from executions.worker.crowd import wait_together
from tests.integration.convoys import BackAfter, Script
from tests.integration.engine import PATIENCE_S, until


class Gate:
    """Where steps wait until the test lets them go on."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.waiting = 0
        self._deaf = deaf
        self._open: Future[None] = Future()

    async def __call__(self) -> str:
        self.waiting += 1
        try:
            await self._opened()
        finally:
            self.waiting -= 1
        return "long"

    async def _opened(self) -> None:
        """Wait; who is deaf waits although he is cancelled."""
        opened = asyncio.wrap_future(self._open)
        while not opened.done():
            try:
                await asyncio.shield(opened)
            except asyncio.CancelledError:
                if not self._deaf:
                    raise

    def open(self) -> None:
        if not self._open.done():
            self._open.set_result(None)


class Waits(Script):
    """A script whose steps await; it counts how many do so at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[Gate] = []
        self.now = self.most = 0

    async def wait(self, given: Any) -> Any:
        self.calls.append(given)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            act: Callable[[], Awaitable[Any]] | None = self.acts.pop(given, None)
            return await act() if act else given
        finally:
            self.now -= 1

    def gate(self, *given: str, deaf: bool = False) -> Gate:
        """Have steps wait that are called with one of these."""
        gate = Gate(deaf=deaf)
        self.gates.append(gate)
        self.acts |= dict.fromkeys(given, gate)
        return gate


def go(executions: Sequence[Execution], path: str = "a", *, epoch: int = 1) -> None:
    """Go with executions as the io worker does that gets them in one message."""
    version = str(executions[0].version_id)
    addresses = [
        Address(execution=str(each.pk), version=version, epoch=epoch)
        for each in executions
    ]
    wait_together(addresses, path)


@contextmanager
def beside(script: Waits, *actions: Callable[[], Any]) -> Iterator[None]:
    """Act in threads of their own meanwhile; in the end every gate is opened."""

    def act(action: Callable[[], Any]) -> None:
        try:
            action()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions)) as pool:
        acting = [pool.submit(act, action) for action in actions]
        try:
            yield
        finally:
            for gate in script.gates:
                gate.open()
        for each in acting:
            each.result(2 * PATIENCE_S)


def await_waiting(gate: Gate, number: int = 1) -> None:
    until(lambda: gate.waiting == number, f"{number} waiting steps")


class Outage:
    """A switch that breaks every connection, and takes PostgreSQL away."""

    def __init__(self, complaints: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.complaints = BackAfter(complaints, self.patch)
        self._many = complaints
        self._params = connection.get_connection_params()
        for name in ("cursor_factory", "context"):
            self._params.pop(name, None)

    def begin(self) -> None:
        self.patch.setitem(connection.settings_dict, "HOST", "/nowhere")
        with psycopg.connect(**self._params, autocommit=True) as own:
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    @property
    def is_felt(self) -> bool:
        return self.complaints.left < self._many


@contextmanager
def outage(complaints: int = 3) -> Iterator[Outage]:
    """Let PostgreSQL come back once somebody has waited for it so many times."""
    made = Outage(complaints)
    patience.log.addHandler(made.complaints)
    try:
        yield made
        until(lambda: made.complaints.left <= 0, "waiting for PostgreSQL")
    finally:
        patience.log.removeHandler(made.complaints)
        made.patch.undo()
        connection.close()


async def fail() -> None:
    """Fail, as a step does whose function raises."""
    raise LookupError("not here")


def block(seconds: float) -> None:
    """Keep this thread, as code does that does not await."""
    threading.Event().wait(seconds)
