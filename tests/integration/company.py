"""
What tests of steps that travel together stand on: patience, its end, and a script.

A test module asks for it with `pytest_plugins`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from executions.worker import patience, relief
from executions.worker.relief import this_relief
from tests.integration.convoys import Parting, Script
from tests.integration.engine import PATIENCE_S


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps wait for others however long it takes; wait for no database."""
    monkeypatch.setattr(relief, "PATIENCE_S", 600.0)
    monkeypatch.setattr(patience, "_EVERY_S", 0.01)


@pytest.fixture
def out_of_patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A switch: from then on nobody waits for anybody."""
    return lambda: monkeypatch.setattr(relief, "PATIENCE_S", -1.0)


@pytest.fixture
def relief_at_rest() -> Iterator[None]:
    """See that the relief thread lives after a test, and holds no connection."""
    yield
    parting = Parting()
    with this_relief().watching(parting):
        assert parting.done.wait(PATIENCE_S)


@pytest.fixture
def script(register: Callable[[Callable[..., Any]], str]) -> Script:
    """A role whose every call is noted, and does what the test wants of it."""
    made = Script()

    def play(given: str) -> Any:
        return made.play(given)

    made.role = register(play)
    return made
