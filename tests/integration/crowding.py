"""
What tests of crowds stand on: a worker with room, a script, and nothing left behind.

A test module asks for it with `pytest_plugins`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from executions.worker import patience
from executions.worker.leases import Worker
from executions.worker.room import room
from tests.integration.crowds import Waits


@pytest.fixture
def roomy(this_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """This process with slots for many; in the end it holds nothing any more."""
    monkeypatch.setattr(patience, "_EVERY_S", 0.01)
    this_worker.slots = 100
    yield this_worker
    assert this_worker.busy == 0
    assert room._taken == 0


@pytest.fixture
def script(register: Callable[[Callable[..., Any]], str]) -> Waits:
    """A role whose every call awaits, is noted, and does what the test wants of it."""
    made = Waits()

    async def wait(given: Any) -> Any:
        return await made.wait(given)

    made.role = register(wait)
    return made
