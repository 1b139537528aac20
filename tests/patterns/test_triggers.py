"""Events from outside: those that are kept, and those that are lost."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from tests.acceptance.bodies import by_path, seen_at
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]


def test_a_transient_trigger_is_lost_when_nobody_waits_for_it(pattern: Make) -> None:
    trigger = pattern("transient_trigger")
    execution = trigger.start()
    trigger.have_begun("before")

    trigger.signal(execution, "alarm", "too early")
    trigger.release()
    seen_at(trigger.system, execution, "trigger", "waiting")
    assert "after" not in trigger.begun
    trigger.signal(execution, "alarm", "in time")

    ended = trigger.completed(execution)
    assert by_path(ended, "output")["trigger"] == "in time"
    assert trigger.begun == ["before", "after"]


def test_a_persistent_trigger_is_kept_until_a_step_waits_for_it(pattern: Make) -> None:
    trigger = pattern("persistent_trigger")
    order = secrets.token_hex(8)
    execution = trigger.start(order=order)
    trigger.have_begun("before")

    for payload in ({"order": "another"}, {"order": order, "part": "wheel"}):
        body = {"name": "part.delivered", "payload": payload}
        assert trigger.system.post("events/", body, status=202)["delivered"] == 0
    assert trigger.begun == ["before"]
    trigger.release()

    ended = trigger.completed(execution)
    assert by_path(ended, "output")["trigger"] == {"order": order, "part": "wheel"}
    assert trigger.begun == ["before", "after"]


def test_a_persistent_trigger_may_come_while_a_step_waits(pattern: Make) -> None:
    trigger = pattern("persistent_trigger")
    order = secrets.token_hex(8)
    execution = trigger.start(order=order)
    trigger.release()
    seen_at(trigger.system, execution, "trigger", "waiting")

    body = {"name": "part.delivered", "payload": {"order": order}}
    assert trigger.system.post("events/", body, status=202)["delivered"] == 1

    trigger.completed(execution)
    assert trigger.begun == ["before", "after"]
