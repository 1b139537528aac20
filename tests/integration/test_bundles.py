"""Bundles: members that no message can share, sent on by the worker that gets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.db.models import F

from executions import control
from executions.canvas import BUNDLE
from executions.models import Execution
from executions.signatures import BUNDLE as BUNDLE_TASK
from executions.signatures import RUN_STEP
from tests.integration.engine import (
    Message,
    deliver,
    deliver_all,
    finish,
    group,
    launched,
    messages,
    now_of,
    plan_of,
    role,
    step,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker", "broker"),
]

Register = Callable[[Callable[..., Any]], str]
MEMBERS = BUNDLE + BUNDLE // 2


@pytest.fixture
def waiting(register: Register) -> str:
    """A role that awaits, so that io workers do it."""

    async def wait(data: Any) -> int:
        return 1

    return register(wait)


@pytest.fixture
def crowd(broker: redis.Redis, waiting: str) -> Execution:
    """A large group of steps that may run but once, just sent, and a step after it."""
    keys = [f"m{number}" for number in range(MEMBERS)]
    members = group(*keys, of=waiting, at_most_once=True)
    return launched(*members, step("after", role()))


def members_of(crowd: Execution) -> list[str]:
    plan = plan_of(crowd)
    return [planned.path for planned in plan.of_block(plan.blocks[0])]


def kinds(found: list[Message]) -> Counter[tuple[str, str]]:
    return Counter((message.queue, message.task) for message in found)


def test_a_large_group_that_shares_no_message_is_sent_in_bundles(
    broker: redis.Redis, crowd: Execution
) -> None:
    found = messages(broker)
    assert kinds(found) == {("control", BUNDLE_TASK): 2}
    assert [len(message.kwargs["paths"]) for message in found] == [100, 50]
    assert {path for message in found for path in message.kwargs["paths"]} == set(
        members_of(crowd)
    )


def test_each_member_of_a_bundle_gets_a_message(
    broker: redis.Redis, crowd: Execution
) -> None:
    first, second = messages(broker)
    broker.flushdb()

    assert deliver(first) == "SUCCESS"
    assert kinds(messages(broker)) == {("io", RUN_STEP): 100}
    assert deliver(second) == "SUCCESS"
    found = messages(broker)
    assert kinds(found) == {("io", RUN_STEP): 150}
    assert {message.place for message in found} == set(members_of(crowd))


def test_what_bundles_sent_is_joined_in_the_end(
    broker: redis.Redis, crowd: Execution
) -> None:
    delivered = deliver_all(broker)
    assert Counter(queue for queue, _ in delivered)["io"] == MEMBERS
    assert now_of(crowd).status == "completed"
    assert set(crowd.step_runs.values_list("status", "attempt")) == {("completed", 1)}
    assert crowd.step_runs.count() == MEMBERS + 1


def test_a_bundle_that_comes_twice_has_each_member_done_once(
    broker: redis.Redis, crowd: Execution
) -> None:
    for bundle in messages(broker):
        deliver(bundle)
    deliver_all(broker)
    assert now_of(crowd).status == "completed"
    assert set(crowd.step_runs.values_list("attempt", flat=True)) == {1}


def test_members_that_are_done_do_no_harm_to_their_bundle(
    broker: redis.Redis, crowd: Execution
) -> None:
    finish(crowd, "m0", "m1")
    deliver_all(broker)
    assert now_of(crowd).status == "completed"


def paused(crowd: Execution) -> None:
    assert control.pause(crowd.pk, by=None)


def cancelled(crowd: Execution) -> None:
    assert control.cancel(crowd.pk, by=None)


def sent_anew(crowd: Execution) -> None:
    Execution.objects.filter(pk=crowd.pk).update(epoch=F("epoch") + 1)


def deleted(crowd: Execution) -> None:
    Execution.objects.filter(pk=crowd.pk).delete()


@pytest.mark.parametrize("change", [paused, cancelled, sent_anew, deleted])
def test_a_bundle_that_is_past_sends_nothing(
    broker: redis.Redis, crowd: Execution, change: Callable[[Execution], None]
) -> None:
    bundles = messages(broker)
    change(crowd)
    broker.flushdb()
    assert [deliver(bundle) for bundle in bundles] == ["SUCCESS"] * 2
    assert messages(broker) == []


def test_a_bundle_that_finds_no_broker_leaves_its_members_to_the_reconciler(
    broker: redis.Redis, crowd: Execution, request: pytest.FixtureRequest
) -> None:
    first, _ = messages(broker)
    broker.flushdb()
    request.getfixturevalue("broker_away")
    assert deliver(first) == "SUCCESS"
    assert messages(broker) == []
