"""A fleet for the patterns, beside that of the acceptance tests in one session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.acceptance.conftest import traces
from tests.acceptance.system import System
from tests.patterns.patterns import Pattern

__all__ = ["traces"]


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    url = urlsplit(os.environ["DATABASE_URL"])
    name = f"patterns_{os.getpid()}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(url._replace(path=f"/{name}"))
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Name the next of Valkey's databases: the first belongs to the other fleet."""
    given = os.environ["REDIS_URL"]
    if given.startswith("unix:"):
        return f"{given.partition('?')[0]}?db=1"
    return urlunsplit(urlsplit(given)._replace(path="/1"))


@pytest.fixture(scope="session")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    database_url: str,
    redis_url: str,
    traces: Path,
) -> Iterator[System]:
    env = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CORE_FUNCTION_MODULES": "tests.acceptance.work",
        "CORE_TEST_TRACES": str(traces),
    }
    system = System(tmp_path_factory.mktemp("fleet"), env)
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture
def pattern(system: System, traces: Path) -> Callable[[str], Pattern]:
    """Make the pattern of a definition's name."""
    return lambda name: Pattern(system, traces, name)
