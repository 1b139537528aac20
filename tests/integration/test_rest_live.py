"""Live events: history, then what happens, resumable, and cheap to watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient

from core_orchestration.drafts import save
from executions import control
from executions.announce import TEXTS, announce, say
from executions.launch import launch
from executions.live import hub as hub_module
from executions.live import stream
from executions.live.hub import Hub
from executions.models import Event, Execution
from roles import keys
from roles.models import Role
from tests.integration.answers import problem_of
from tests.integration.engine import until
from tests.integration.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)
MakeRole = Callable[..., Role]
NOTHING_YET = stream.News(text="", cursor=stream.Cursor())
CANCELLED = ["execution.cancel_requested", "execution.cancelled", "end"]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.5)


@pytest.fixture
def execution(user: User, make_role: MakeRole) -> Execution:
    make_role("Shouter")
    step = {"name": "Shout", "role_name": "Shouter"}
    orchestration = save({"name": "Shouting", "steps": [step]}, by=user)
    return launch(orchestration, {}, by=user)


@pytest.fixture
def headers(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.issue(user, 'test')[1]}"}


def url_of(execution: Execution) -> str:
    return f"/api/v1/executions/{execution.pk}/events/"


def run(story: Any) -> Any:
    """Run a story in a loop of its own, within 20 seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await story

    return asyncio.run(bounded())


async def blocks(response: Any) -> AsyncIterator[dict[str, str]]:
    """Read the stream's blocks as their fields; a comment is the field ''."""
    async for chunk in response.streaming_content:
        for block in chunk.decode().strip().split("\n\n"):
            yield dict(line.split(": ", 1) for line in block.splitlines())


async def whole(client: AsyncClient, url: str, **options: Any) -> list[dict[str, str]]:
    response = await client.get(url, **options)
    assert response.status_code == 200
    return [block async for block in blocks(response) if "event" in block]


def names(events: list[dict[str, str]]) -> list[str]:
    return [event["event"] for event in events]


def test_the_history_of_a_finished_execution_is_told_to_its_end(
    execution: Execution, headers: dict[str, str]
) -> None:
    control.cancel(execution.pk, by="ada")
    events = run(whole(AsyncClient(), url_of(execution), headers=headers))
    assert names(events) == ["execution.created", *CANCELLED]
    told = json.loads(events[2]["data"])
    assert told.keys() == {
        "id",
        "type",
        "execution_id",
        "path",
        "step_key",
        "at",
        "data",
    }
    assert told["id"] == events[2]["id"]
    assert told["type"] == "execution.cancelled"
    assert told["execution_id"] == str(execution.pk)
    assert told["data"]["by"] == "ada"


def test_what_happens_is_told_as_it_happens(
    execution: Execution, headers: dict[str, str]
) -> None:
    async def story() -> list[str]:
        response = await AsyncClient().get(url_of(execution), headers=headers)
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        seen = []
        async for block in blocks(response):
            if "event" in block:
                seen.append(block["event"])
            if block.get("event") == "execution.created":
                await sync_to_async(control.cancel)(execution.pk, by=None)
        return seen

    assert run(story()) == ["execution.created", *CANCELLED]


def test_a_finished_execution_is_told_at_once(
    execution: Execution, headers: dict[str, str]
) -> None:
    """Who asks, whether they may, and one read: nobody subscribes or reads again."""
    control.cancel(execution.pk, by="ada")

    async def story() -> bool:
        await whole(AsyncClient(), url_of(execution), headers=headers)
        return Hub.of_this_loop().is_listening

    run(whole(AsyncClient(), url_of(execution), headers=headers))  # notes the key's use
    with statements() as seen:
        assert not run(story())
    assert len(seen) == 3


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_broken_stream_goes_on_where_it_ended(
    execution: Execution, headers: dict[str, str], how: str
) -> None:
    control.cancel(execution.pk, by="ada")

    async def after(place: str) -> list[str]:
        if how == "query":
            url, more = f"{url_of(execution)}?after={place}", headers
        else:
            url, more = url_of(execution), headers | {"Last-Event-ID": place}
        return names(await whole(AsyncClient(), url, headers=more))

    async def story() -> None:
        events = await whole(AsyncClient(), url_of(execution), headers=headers)
        for place in range(3):
            assert await after(events[place]["id"]) == CANCELLED[place:]

    run(story())


def test_a_long_history_is_told_whole(
    execution: Execution, headers: dict[str, str]
) -> None:
    Event.objects.bulk_create(
        Event(execution=execution, type="step.started", path=f"step_{number}")
        for number in range(3 * stream.BATCH)
    )
    control.cancel(execution.pk, by=None)
    events = run(whole(AsyncClient(), url_of(execution), headers=headers))
    assert len(events) == 3 * stream.BATCH + 1 + len(CANCELLED)
    assert len({event["id"] for event in events[:-1]}) == len(events) - 1
    assert json.loads(events[1]["data"])["step_key"] == "step_0"


def test_silence_is_broken_by_comments(
    execution: Execution, headers: dict[str, str]
) -> None:
    async def story() -> None:
        response = await AsyncClient().get(url_of(execution), headers=headers)
        async for block in blocks(response):
            if "" in block:
                return

    run(story())


def test_an_older_transaction_that_is_open_delays_and_loses_nothing(
    execution: Execution, headers: dict[str, str]
) -> None:
    """The end is recorded while a transaction with a lower number is still open."""
    parameters = connection.get_connection_params()
    wanted = ("dbname", "user", "password", "host", "port")
    parameters = {k: v for k, v in parameters.items() if k in wanted and v}
    with psycopg.connect(**parameters) as older:
        older.execute("SELECT pg_current_xact_id()")
        control.cancel(execution.pk, by=None)

        async def story() -> list[str]:
            response = await AsyncClient().get(url_of(execution), headers=headers)
            seen = []
            async for block in blocks(response):
                seen += [block["event"]] if "event" in block else []
                if "" in block:
                    assert seen == ["execution.created"]
                    older.commit()
            return seen

        assert run(story())[-2:] == ["execution.cancelled", "end"]


def test_a_message_wakes_viewers_long_before_the_sweep(
    execution: Execution, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("SOONEST_S", "SWEEP_S", "HEARTBEAT_S"):
        monkeypatch.setattr(stream, pause, 60.0)
    control_at_work = sync_to_async(control.cancel)

    async def story() -> list[str]:
        response = await AsyncClient().get(url_of(execution), headers=headers)
        seen = []
        async for block in blocks(response):
            seen += [block["event"]] if "event" in block else []
            if seen == ["execution.created"]:
                await control_at_work(execution.pk, by=None)
        return seen

    assert run(story())[-1] == "end"


def told_by(
    execution: Execution, headers: dict[str, str], write: Callable[[], object]
) -> list[dict[str, str]]:
    """Watch an execution in which something is written before it is cancelled."""

    def await_subscription() -> None:
        with redis.Redis.from_url(settings.REDIS_URL) as valkey:
            until(lambda: valkey.pubsub_numsub(TEXTS)[0][1], "a subscription")

    async def write_and_end() -> None:
        await asyncio.to_thread(await_subscription)
        write()
        await sync_to_async(control.cancel)(execution.pk, by=None)

    async def story() -> list[dict[str, str]]:
        writing = asyncio.create_task(write_and_end())
        seen = await whole(AsyncClient(), url_of(execution), headers=headers)
        await writing
        return seen

    seen: list[dict[str, str]] = run(story())
    return seen


def test_viewers_read_what_agents_write_to_the_last_word(
    execution: Execution, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("SOONEST_S", "SWEEP_S", "HEARTBEAT_S"):
        monkeypatch.setattr(stream, pause, 60.0)
    words = ["Here ", "is ", "what ", "I ", "think."]

    def write() -> None:
        for word in words:
            say(execution.pk, "each[3]/a", 2, word)

    seen = told_by(execution, headers, write)

    texts = [json.loads(e["data"]) for e in seen if e["event"] == "step.text"]
    assert "".join(text.pop("text") for text in texts) == "".join(words)
    for text in texts:
        assert text == {"path": "each[3]/a", "attempt": 2, "step_key": "a"}
    assert not any("id" in e for e in seen if e["event"] == "step.text")
    told = names(seen)
    assert told[-1] == "end"
    assert told.index("execution.cancelled") > told.index("step.text")


def test_what_is_written_in_other_executions_is_not_told(
    execution: Execution, headers: dict[str, str]
) -> None:
    seen = told_by(execution, headers, lambda: say(uuid4(), "a", 1, "Not for you."))
    assert "step.text" not in names(seen)


def test_without_valkey_the_sweep_tells(
    execution: Execution, headers: dict[str, str], settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    async def story() -> list[str]:
        response = await AsyncClient().get(url_of(execution), headers=headers)
        seen = []
        async for block in blocks(response):
            seen += [block["event"]] if "event" in block else []
            if seen == ["execution.created"]:
                await sync_to_async(control.cancel)(execution.pk, by=None)
        return seen

    assert run(story())[-1] == "end"


def test_an_execution_that_was_removed_has_no_more_news(execution: Execution) -> None:
    gone = execution.pk
    execution.delete()
    news = stream.news_after(gone, stream.Cursor())
    assert news.is_over
    assert news.text.startswith("event: end")


def test_a_viewer_who_leaves_is_forgotten(
    execution: Execution, headers: dict[str, str]
) -> None:
    async def story() -> None:
        hub = Hub.of_this_loop()
        events: Any = stream.stream(execution.pk, NOTHING_YET)
        assert [await anext(events), await anext(events)]
        assert hub.viewers == 1
        await events.aclose()
        assert hub.viewers == 0

    run(story())


def test_the_next_viewer_finds_the_subscription_of_the_last_one(
    execution: Execution,
) -> None:
    async def story() -> None:
        hub = Hub.of_this_loop()
        async with hub.watching(execution.pk) as wake:
            await wake.wait()  # it is subscribed
        async with hub.watching(execution.pk) as wake:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wake.wait(), 0.3)  # and not once more
            announce(execution.pk)
            await wake.wait()

    run(story())


def test_a_hub_that_nobody_watches_for_long_stops_listening(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "LINGER_S", 0.2)
    monkeypatch.setattr(hub_module, "_LISTEN_S", 0.1)

    async def story() -> None:
        hub = Hub.of_this_loop()
        async with hub.watching(execution.pk) as wake:
            await wake.wait()
            await asyncio.sleep(0.5)
            assert hub.is_listening
        while hub.is_listening:
            await asyncio.sleep(0.02)
        async with hub.watching(execution.pk) as wake:
            await wake.wait()

    run(story())


def test_many_viewers_hold_no_connection(
    execution: Execution, headers: dict[str, str]
) -> None:
    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            (count,) = cursor.fetchone()
        return int(count)

    async def story() -> None:
        streams = [stream.stream(execution.pk, NOTHING_YET) for _ in range(100)]
        for _ in range(2):
            await asyncio.gather(*(anext(stream) for stream in streams))
        assert await sync_to_async(connections)() <= 8
        await sync_to_async(control.cancel)(execution.pk, by=None)
        rest = await asyncio.gather(*(_drained(stream) for stream in streams))
        assert all("event: end" in text for text in rest)

    run(story())


async def _drained(stream: AsyncIterator[str]) -> str:
    return "".join([text async for text in stream])


@pytest.mark.parametrize(
    "place", ["x", "1", "1-", "-1", "1-x", "1.5-2", "9" * 30 + "-1", "\u0663-1"]
)
def test_a_place_that_is_none_is_refused(
    execution: Execution, headers: dict[str, str], place: str
) -> None:
    url = f"{url_of(execution)}?after={place}"
    response = run(AsyncClient().get(url, headers=headers))
    assert response.status_code == 400
    assert problem_of(response)["code"] == "bad_cursor"


def test_strangers_see_nothing(execution: Execution, other: User) -> None:
    header = {"Authorization": f"Bearer {keys.issue(other, 'test')[1]}"}
    response = run(AsyncClient().get(url_of(execution), headers=header))
    assert response.status_code == 404
    assert problem_of(response)["code"] == "not_found"


def test_a_session_may_watch(execution: Execution, user: User) -> None:
    control.cancel(execution.pk, by=None)

    async def story() -> list[str]:
        client = AsyncClient()
        await client.aforce_login(user)
        return names(await whole(client, url_of(execution)))

    assert run(story())[-1] == "end"


def test_watching_is_reading_only(
    execution: Execution, headers: dict[str, str]
) -> None:
    response = run(AsyncClient().post(url_of(execution), headers=headers))
    assert response.status_code == 405
    problem_of(response)
