"""The broker's channel: one client, its own in each process, and back after a loss."""

from __future__ import annotations

import sysconfig
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import pytest
from billiard import get_context
from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from config import broker
from config.broker import Channel
from config.dev import embedded
from config.dev.guard import Guard
from config.dev.servers import Running
from config.settings import broker_address
from tests.integration.engine import PATIENCE_S

QUEUE = Queue("letters")


@pytest.fixture(scope="module")
def valkey() -> Iterator[Running]:
    """A Valkey of this module's own, which its tests may kill."""
    guard = Guard()
    folder = embedded.temporary(guard)
    place = embedded.Place(
        site_packages=Path(sysconfig.get_path("purelib")),
        postgres=folder / "postgres",
        valkey=folder / "valkey",
        logs=folder,
        durable=False,
        tied=False,
    )
    servers = embedded.servers({"DATABASE_URL": "of nobody"}, place, guard)
    servers.start()
    assert servers.valkey is not None
    yield servers.valkey
    servers.stop()
    guard.close()


@pytest.fixture
def connection(valkey: Running) -> Iterator[Connection]:
    with Connection(broker_address(valkey.url)) as connection:
        yield connection


@pytest.fixture
def channel(connection: Any) -> Any:
    channel = connection.channel()
    QUEUE(channel).declare()
    QUEUE(channel).purge()
    return channel


def publish(channel: Any, body: str = "a letter") -> None:
    message = channel.prepare_message(body, content_type="text/plain")
    channel.basic_publish(message, exchange="", routing_key=QUEUE.name)


def taken(channel: Any) -> Any:
    """Take one message."""
    return QUEUE(channel).get()


def received(channel: Any) -> list[Any]:
    """Take all messages, and acknowledge each."""
    found = []
    while message := taken(channel):
        found.append(message.payload)
        message.ack()
    return found


def unacknowledged(channel: Any) -> tuple[int, int]:
    client = channel._create_client()
    return client.hlen(channel.unacked_key), client.zcard(channel.unacked_index_key)


# --- one client ---------------------------------------------------------------------


def test_a_channel_keeps_its_client(channel: Any) -> None:
    first = channel._create_client()
    for _ in range(3):
        publish(channel)
    assert len(received(channel)) == 3
    assert channel._create_client() is first


def test_what_waits_for_messages_has_a_client_of_its_own(channel: Any) -> None:
    kept = channel._create_client()
    assert channel.client is not kept
    assert channel.client.connection_pool is not kept.connection_pool


def test_channels_share_nothing(connection: Any) -> None:
    one, other = connection.channel(), connection.channel()
    assert one._create_client() is not other._create_client()
    assert one.pool is not other.pool


def test_a_new_pool_has_a_new_client(channel: Any) -> None:
    first = channel._create_client()
    channel._disconnect_pools()
    second = channel._create_client()
    assert second is not first
    assert second.connection_pool is channel.pool


def test_threads_may_use_a_channel_at_the_same_time(channel: Any) -> None:
    together = threading.Barrier(8)

    def send(number: int) -> None:
        together.wait(PATIENCE_S)
        for _ in range(50):
            publish(channel, str(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))
    assert Counter(received(channel)) == {str(number): 50 for number in range(8)}


def test_producers_of_a_pool_have_a_client_each(connection: Any) -> None:
    producers: Any = ProducerPool(connection.Pool(2), limit=2)
    with producers.acquire() as one, producers.acquire() as other:
        clients = {id(each.channel._create_client()) for each in (one, other)}
    assert len(clients) == 2


# --- acknowledging ------------------------------------------------------------------


def test_a_message_is_kept_until_it_is_acknowledged(channel: Any) -> None:
    publish(channel)
    message = taken(channel)
    assert unacknowledged(channel) == (1, 1)
    message.ack()
    assert unacknowledged(channel) == (0, 0)


def test_a_message_that_is_given_back_comes_again(channel: Any) -> None:
    publish(channel)
    taken(channel).requeue()
    assert unacknowledged(channel) == (0, 0)
    assert received(channel) == ["a letter"]


def test_a_message_that_nobody_acknowledged_is_restored(channel: Any) -> None:
    publish(channel)
    message = taken(channel)
    channel.qos.restore_by_tag(message.delivery_tag)
    assert unacknowledged(channel) == (0, 0)
    assert received(channel) == ["a letter"]


# --- forks --------------------------------------------------------------------------


def in_child(work: Callable[[], Any]) -> Any:
    """Do something in a child as a prefork pool makes them, and return its answer."""
    context: Any = get_context("fork")
    here, there = context.Pipe()

    def run(answers: Pipe) -> None:
        answers.send(work())

    child = context.Process(target=run, args=(there,))
    child.start()
    assert here.poll(PATIENCE_S), "the child did not answer"
    answer = here.recv()
    child.join()
    return answer


def ids(channel: Any) -> tuple[int, int]:
    """Return what the server calls the connections of both clients of a channel."""
    return channel._create_client().client_id(), channel.client.client_id()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_uses_no_connection_of_its_parent(channel: Any) -> None:
    parents = ids(channel)
    childs = in_child(lambda: ids(channel)[:1])
    assert not set(childs) & set(parents)
    # The child's end closes nothing here, either.
    assert ids(channel) == parents


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_parent_and_child_may_publish_at_the_same_time(channel: Any) -> None:
    def send() -> bool:
        for _ in range(100):
            publish(channel, "of the child")
        return True

    publish(channel, "of the parent")
    assert in_child(send)
    publish(channel, "of the parent")
    found = received(channel)
    assert (found.count("of the child"), found.count("of the parent")) == (100, 2)


# --- addresses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["redis://host/0", "rediss://host/0", "redis+socket:///a/socket?virtual_host=0"],
)
def test_every_address_of_this_kind_is_served_so(address: str) -> None:
    assert Connection(address).get_transport_cls() is broker.Transport


def test_every_channel_is_one_of_these(channel: Any) -> None:
    assert type(channel) is Channel
    assert type(channel.qos) is broker.QoS


# --- losses -------------------------------------------------------------------------


def test_a_broken_connection_is_replaced(channel: Any) -> None:
    publish(channel)
    kept = channel._create_client()
    kept.client_kill_filter(_type="normal", skipme=False)
    publish(channel)
    assert channel._create_client() is kept
    assert len(received(channel)) == 2


def test_publishing_works_again_when_the_broker_is_back(
    valkey: Running, connection: Any, channel: Any
) -> None:
    producers = ProducerPool(connection.Pool(1), limit=1)

    def send(body: str) -> None:
        with producers.acquire() as producer:
            policy = {"max_retries": 1, "interval_start": 0}
            producer.publish(
                body, routing_key=QUEUE.name, retry=True, retry_policy=policy
            )

    send("before")
    valkey.kill()
    with pytest.raises(OperationalError):
        send("lost")
    valkey.start()
    send("after")
    assert received(connection.clone().channel())[-1:] == ["after"]
