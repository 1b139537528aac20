"""Everything that a fleet wrote, said or holds, as text to look through."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import httpx
import psycopg
import redis
from psycopg import sql

from tests.faults.fleet import Fleet
from tests.integration.mcp_web import client_of, run

_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_type = 'BASE TABLE'
  AND table_schema NOT IN ('pg_catalog', 'information_schema')
"""


def found(fleet: Fleet, words: Iterable[str]) -> list[str]:
    """List the places in which any of the words stands."""
    wanted = list(words)
    return [
        f"{place} ({word[:12]}...)"
        for place, text in everything(fleet)
        for word in wanted
        if word in text
    ]


def everything(fleet: Fleet) -> Iterator[tuple[str, str]]:
    yield from logs(fleet)
    yield from tables(fleet)
    yield from keys(fleet)
    yield from answers(fleet)
    yield from tools(fleet)


def logs(fleet: Fleet) -> Iterator[tuple[str, str]]:
    files = [*fleet.application.data.logs.iterdir()]
    assert len(files) >= 5
    for file in files:
        yield file.name, file.read_text(errors="replace")


def tables(fleet: Fleet) -> Iterator[tuple[str, str]]:
    with psycopg.connect(fleet.env["DATABASE_URL"]) as connection:
        for names in connection.execute(_TABLES).fetchall():
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(*names))
            with connection.cursor().copy(copy) as rows:
                yield ".".join(names), b"".join(rows).decode(errors="replace")


def keys(fleet: Fleet) -> Iterator[tuple[str, str]]:
    with redis.Redis.from_url(fleet.env["REDIS_URL"], decode_responses=True) as client:
        for key in client.scan_iter("*", count=1000):
            read = _READERS[client.type(key)]
            for value in read(client, key):
                yield f"valkey {key}", f"{key} {opened(value)}"


def opened(value: Any) -> str:
    """Unpack what a queued message carries."""
    try:
        return f"{value} {base64.b64decode(json.loads(value)['body']).decode()}"
    except (ValueError, TypeError, KeyError):
        return str(value)


_READERS: dict[str, Callable[[Any, str], Iterable[Any]]] = {
    "string": lambda client, key: [client.get(key)],
    "list": lambda client, key: client.lrange(key, 0, -1),
    "set": lambda client, key: client.smembers(key),
    "zset": lambda client, key: client.zrange(key, 0, -1),
    "hash": lambda client, key: chain(*client.hgetall(key).items()),
    "stream": lambda client, key: client.xrange(key),
}


LISTS = (
    "approvals",
    "audit",
    "breakers",
    "budgets",
    "executions",
    "mcp-servers",
    "models",
    "orchestrations",
    "roles",
    "secrets",
)
PARTS = ("events", "transcript", "usage")  # of an execution
GROUPS = "usage/?group_by=role,model,execution"
PAGES = ("workers/", "schema/", "docs/", "/readyz", "/healthz", "nowhere/", GROUPS)
TOOLS = ("system.list_roles", "system.list_orchestrations", "system.list_functions")


def answers(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """Read each list, all that it names, and what is known of what is over."""
    for kind in LISTS:
        listed = fleet.client.get(f"{kind}/", params={"page_size": 200})
        assert listed.status_code == 200, (kind, listed.text)
        yield f"{kind}/", shown(listed)
        for each in listed.json()["results"]:
            if "id" not in each:
                continue
            path = f"{kind}/{each['id']}/"
            yield path, shown(fleet.client.get(path))
            if kind == "executions" and each.get("finished_at"):
                for part in PARTS:
                    yield f"{path}{part}/", shown(fleet.client.get(f"{path}{part}/"))
    choices = fleet.query("SELECT digest FROM roles_modelchoice")
    for path in (*PAGES, *(f"model-choices/{digest}/" for (digest,) in choices)):
        yield path, shown(fleet.client.get(path))


def tools(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """Ask what an MCP client may ask."""
    url = f"http://127.0.0.1:{fleet.port}"
    token = fleet.client.headers["Authorization"].removeprefix("Bearer ")

    async def story() -> list[tuple[str, str]]:
        async with client_of(url, token) as client:
            listed = await client.list_tools()
            called = [(name, await client.call_tool(name, {})) for name in TOOLS]
            return [(f"mcp {n}", str(each)) for n, each in [("tools", listed), *called]]

    yield from run(story)


def shown(answer: httpx.Response) -> str:
    return f"{answer.headers!r}{answer.text}"
