"""Room: a process takes no more steps that wait side by side than it has slots."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.db import connection

from executions.signatures import RUN_STEP, RUN_TOGETHER
from executions.worker.leases import Worker
from executions.worker.room import Room, room
from tests.integration.convoys import check_all_completed, launched_many, sent
from tests.integration.crowds import Waits, await_waiting, beside, go
from tests.integration.engine import (
    at_once,
    deliver,
    deliver_all,
    group,
    launched,
    messages,
    now_of,
    postgres_away,
    role,
    step,
    take,
    until,
)

pytest_plugins = ("tests.integration.stage", "tests.integration.crowding")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "roomy"),
]


class Broker:
    """What is asked of a broker: how many messages less it gives, and when."""

    def __init__(self) -> None:
        self.less = 0
        self.asked: list[int] = []

    def narrow(self, count: int) -> Callable[[int], None]:
        self.asked.append(count)
        self.less += count

        def widen(count: int) -> None:
            self.less -= count

        return widen


@pytest.fixture
def giving(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(room, "_narrow", broker.narrow)
    return broker


# --- slots ----------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "count"), [(1, 1), (3, 3), (4, 4), (5, 4), (25, 4)])
def test_as_many_are_taken_as_there_are_slots(
    roomy: Worker, giving: Broker, wanted: int, count: int
) -> None:
    roomy.slots = 4

    with room.for_some(wanted) as found:
        assert found.count == count
        assert giving.less == count - 1

    assert giving.less == 0


def test_slots_are_given_to_several_until_each_gets_but_one(
    roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 4

    with room.for_some(3) as first, room.for_some(3) as second:
        with room.for_some(3) as third:
            assert (first.count, second.count, third.count) == (3, 1, 1)
            assert giving.less == 2
        with room.for_some(1) as fourth:
            assert fourth.count == 1

    with room.for_some(4) as again:
        assert again.count == 4


def test_slots_whose_steps_are_over_are_left_to_others(
    roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 6

    with room.for_some(5) as places:
        places.keep(3)
        with room.for_some(5) as others:
            assert others.count == 3
            assert giving.less == 4
        places.keep(4)  # what was left is not taken again
        places.keep(0)
        assert giving.less == 0
        with room.for_some(6) as others:
            assert others.count == 5

    assert giving.less == 0


def test_slots_are_given_back_whatever_goes_wrong(
    roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 4

    with pytest.raises(LookupError), room.for_some(4):
        raise LookupError

    assert giving.less == 0
    with room.for_some(4) as places:
        assert places.count == 4


def test_slots_are_given_back_when_the_broker_cannot_be_asked(roomy: Worker) -> None:
    def failing(_count: int) -> Callable[[int], None]:
        raise ConnectionError

    roomy.slots = 4
    own = Room()
    own.narrow_with(failing)
    with pytest.raises(ConnectionError), own.for_some(4):
        raise AssertionError

    own.narrow_with(Broker().narrow)
    with own.for_some(4) as places:
        assert places.count == 4


def test_many_who_ask_at_once_do_not_get_more_than_there_is(
    roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 10
    everybody = threading.Barrier(8)

    def ask() -> int:
        with room.for_some(3) as places:
            everybody.wait(10)
            return places.count

    with ThreadPoolExecutor(8) as pool:
        counts = [done.result() for done in [pool.submit(ask) for _ in range(8)]]

    # Whoever comes last gets the one slot that his message has.
    assert sum(count - 1 for count in counts) < 10
    assert sorted(counts) == [1, 1, 1, 1, 1, 3, 3, 3]


# --- steps ----------------------------------------------------------------------------


def test_who_finds_no_room_is_sent_singly(
    broker: redis.Redis, script: Waits, roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 3
    executions = launched_many(*script.steps(), size=8)
    broker.delete("io")
    gate = script.gate(*(f"a{n}" for n in range(8)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 3)
        assert giving.less == 2
        assert sent(broker) == [(n, "a") for n in range(3, 8)]
        assert {m.queue for m in messages(broker)} == {"io"}

    assert giving.less == 0
    assert script.most == 3
    check_all_completed(executions, script, broker)


def test_members_who_find_no_room_are_sent_singly(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    roomy.slots = 3
    keys = [f"m{n}" for n in range(32)]
    gate = script.gate("x")
    execution = launched(
        *group(*keys, of=script.role), step("after", role()), given="x"
    )
    first = take(broker)
    assert first is not None
    others = messages(broker)
    broker.delete("io")

    with beside(script, lambda: deliver(first)):
        await_waiting(gate)
        found = messages(broker)
        assert {m.task for m in found} == {RUN_STEP}
        assert [m.place for m in found] == [f"m{n}" for n in range(3, 8)]
        until(lambda: len(script.calls) == 3, "as many as there are slots")

    for other in others:
        deliver(other)
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert len(script.calls) == 32


def test_a_process_without_room_does_one_step_itself(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    roomy.slots = 1
    executions = launched_many(*script.steps(), size=8)
    assert {m.task for m in messages(broker)} == {RUN_TOGETHER}

    deliver_all(broker)

    assert script.most == 1
    check_all_completed(executions, script, broker)


def test_several_messages_at_once_share_the_slots(
    broker: redis.Redis, script: Waits, roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 6
    executions = launched_many(*script.steps(), size=16)
    firsts = [message for _ in range(3) if (message := take(broker))]
    broker.delete("io")
    gate = script.gate(*(f"a{n}" for n in range(12)))

    def does(number: int) -> Callable[[], object]:
        return lambda: deliver(firsts[number])

    with beside(script, does(0), does(1), does(2)):
        # The first gets 4 slots and the next one 2; the last has its own message's.
        until(lambda: len(giving.asked) == 3, "three crowds")
        await_waiting(gate, 7)
        assert sorted(giving.asked) == [0, 1, 3]

    assert giving.less == 0
    assert script.most <= 7
    twelve = [e for e in executions if int(e.input["n"]) < 12]
    check_all_completed(twelve, script, broker)


def test_a_message_that_finds_no_postgres_gives_its_slots_back(
    broker: redis.Redis,
    script: Waits,
    giving: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched_many(*script.steps(), size=8)
    first = take(broker)
    assert first is not None

    with postgres_away(monkeypatch):
        assert deliver(first) == "RETRY"

    assert giving.less == 0


def test_two_hundred_executions_pass_through_ten_slots(
    broker: redis.Redis, script: Waits, roomy: Worker, giving: Broker
) -> None:
    roomy.slots = 10
    executions = launched_many(*script.steps(), size=200)

    def work() -> None:
        while message := take(broker):
            assert deliver(message) in ("SUCCESS", "RETRY")

    for _ in range(5):
        assert at_once(*[work] * 4) == [None] * 4
    connection.close()

    assert giving.less == 0
    # A message whose turn comes while all slots are taken does one step itself.
    assert script.most <= 10 + 3
    check_all_completed(executions, script, broker)
