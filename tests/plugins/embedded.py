"""
Real PostgreSQL and Valkey for one test session, before Django reads its settings.

Loaded early with `-p`. Servers named by DATABASE_URL or REDIS_URL are used instead.
Fault tests reach the running ones through `SERVERS`, for example
`SERVERS.postgres.kill()` and `SERVERS.valkey.start(empty=True)`.
"""

from __future__ import annotations

import atexit
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.dev import embedded
from config.dev.guard import Guard

SERVERS: embedded.Servers | None = None


def start() -> embedded.Servers:
    """Start what is not given, and see that nothing of it is left in any case."""
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
    servers = embedded.servers(os.environ, place, guard)
    # Registered first, so an error halfway leaves nothing either.
    atexit.register(guard.close)
    atexit.register(servers.stop)
    servers.start()
    return servers


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """Run around the other plugins' hooks, one of which loads the settings."""
    global SERVERS
    if SERVERS is None:
        SERVERS = start()
        os.environ["DATABASE_URL"] = SERVERS.database_url
        os.environ["REDIS_URL"] = SERVERS.redis_url
    os.environ.setdefault("CORE_SECRET_KEY", "only-for-tests-" + "0" * 40)
    return (yield)
