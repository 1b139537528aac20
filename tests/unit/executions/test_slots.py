"""A worker's slots while the broker is away."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.message import Message
from kombu.transport.virtual import QoS

from config.celery import app
from executions import tasks
from executions.signatures import RUN_STEP


class Channel:
    """One slot, of a broker that has gone."""

    no_ack_consumers = None
    do_restore = False

    def __init__(self) -> None:
        channel: Any = self
        self.qos = QoS(channel, prefetch_count=1)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        raise ConnectionError

    def basic_reject(self, delivery_tag: str, requeue: bool) -> None:
        raise ConnectionError


def taken(channel: Channel) -> tasks.StepRequest:
    """A message that a worker has taken into its only slot."""
    headers = {"id": "1", "task": RUN_STEP}
    message: Any = Message(
        body="[[], {}, {}]",
        channel=channel,
        delivery_tag="1",
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        properties={},
        delivery_info={},
    )
    channel.qos.append(message, "1")
    return tasks.StepRequest(
        message,
        on_ack=message.ack_log_error,
        on_reject=message.reject_log_error,
        connection_errors=(ConnectionError,),
        app=app,
    )


@pytest.mark.parametrize("end", ["acknowledge", "reject"])
def test_a_message_that_cannot_be_acknowledged_gives_its_slot_back(end: str) -> None:
    channel = Channel()
    request = taken(channel)
    assert not channel.qos.can_consume()

    getattr(request, end)()

    assert channel.qos.can_consume()


def test_every_task_of_the_engine_has_such_requests() -> None:
    own = (tasks.run_step, tasks.advance, tasks.join)

    assert {task.Request for task in own} == {"executions.tasks:StepRequest"}
