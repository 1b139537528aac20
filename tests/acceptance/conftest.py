"""One real fleet for the session, in a database of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.acceptance.provider import Provider
from tests.acceptance.sink import Sink
from tests.acceptance.system import System


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Make an empty database beside the tests' own."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = f"acceptance_{os.getpid()}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(url._replace(path=f"/{name}"))
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    sink = Sink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    database_url: str,
    traces: Path,
    sink: Sink,
) -> Iterator[System]:
    env = {
        **os.environ,
        "DATABASE_URL": database_url,
        "CORE_FUNCTION_MODULES": "tests.acceptance.work,tests.acceptance.thinking",
        "CORE_TEST_TRACES": str(traces),
        "CORE_HTTP_ALLOWED_HOSTS": sink.address,
    }
    system = System(tmp_path_factory.mktemp("fleet"), env)
    try:
        system.start()
        yield system
    finally:
        system.stop()
