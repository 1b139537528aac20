"""What a lane and the threads that use it have open, and when."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections

from executions import committer, database, situation
from tests.integration.engine import chain, until

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = UUID(int=0)


@contextmanager
def lanes() -> Iterator[None]:
    committer.start()
    try:
        yield
    finally:
        committer.stop()


def sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def test_every_lane_connects_before_it_is_asked_for_anything() -> None:
    before = sessions()
    with lanes():
        until(lambda: sessions() == before + 3, "a connection of each lane")
    until(lambda: sessions() == before, "the end of all of them")


def test_a_lane_that_found_no_postgres_connects_when_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    apart = database.connection_apart

    def misled(**options: Any) -> Any:
        made.append(apart(**options))
        made[-1].settings_dict["HOST"] = "/nowhere"
        return made[-1]

    monkeypatch.setattr(database, "connection_apart", misled)
    execution = chain("a")
    with lanes():
        with pytest.raises(OperationalError):
            situation.read(execution.pk, ())
        for each in made:
            each.settings_dict["HOST"] = connection.settings_dict["HOST"]
        assert situation.read(execution.pk, ()) is not None


def test_a_thread_that_shares_a_lane_gets_no_connection_of_its_own() -> None:
    def read() -> int:
        assert situation.read(NOBODY, ()) is None
        return len(connections.all(initialized_only=True))

    with lanes(), ThreadPoolExecutor(1) as threads:
        assert threads.submit(read).result() == 0
