"""
A process of its own that answers API requests itself, to see what PostgreSQL is asked.

Requests are JSON lines on stdin; each answer has the number of statements, and how
PostgreSQL carries out those that read executions.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import django
import psycopg

READING = ("executions_execution", "executions_steprun", "executions_event")


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)  # noqa: T201


def _answer(asked: dict[str, str]) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    _ask(asked)  # what is kept in memory is kept then
    with _counted() as statements, CaptureQueriesContext(connection) as captured:
        _ask(asked)
    reading = [
        query["sql"]
        for query in captured.captured_queries
        if query["sql"].startswith("SELECT") and any(t in query["sql"] for t in READING)
    ]
    return {
        "statements": len(statements),
        "kinds": [" ".join(each.split())[:120] for each in statements],
        "plans": [_plan(each) for each in reading if asked["method"] == "GET"],
    }


def _ask(asked: dict[str, str]) -> None:
    from django.test import Client

    client = Client(headers={"host": "localhost", "authorization": asked["token"]})
    path = f"/api/v1/{asked['path']}"
    if asked["method"] == "POST":
        answer = client.post(path, {"input": {}}, content_type="application/json")
    else:
        answer = client.get(path)
    if answer.status_code not in (200, 202):
        raise RuntimeError(f"{path}: {answer.content!r}")


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Note every statement of the block, Django's own and the engine's."""
    statements: list[str] = []
    execute = psycopg.Cursor.execute

    def noting(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        statements.append(str(query))
        return execute(self, query, *args, **options)

    with patch.object(psycopg.Cursor, "execute", noting):
        yield statements


def _plan(sql: str) -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
        (found,) = cursor.fetchone() or (None,)
    read: Any = json.loads(found) if isinstance(found, str) else found
    return {"sql": sql, "ms": read[0]["Execution Time"], "plan": read[0]["Plan"]}


if __name__ == "__main__":
    main()
