"""Lists read as little of a long history as of a short one, and show the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.datastructures import MultiValueDict
from rest_framework.test import APIClient

from core_orchestration.models import Orchestration, OrchestrationVersion
from executions.models import Execution
from executions.rest.filters import ExecutionFilter
from tests.integration.conftest import client_of

EXECUTIONS = "/api/v1/executions/"
ADMIN = "/admin/executions/execution/"
MANY, SHOWN = 6_000, 10
# A page and one more, of each status, of an owner's and of nobody's.
MOST_READ = (SHOWN + 1) * 8 * 2 + 4 * SHOWN

pytestmark = pytest.mark.django_db

# One a minute: most of them bob's; one in three of an orchestration that all use, and
# the oldest twenty of ada's and of an orchestration that nothing has run since.
_SEED = """
INSERT INTO executions_execution
  (id, orchestration_id, version_id, status, epoch, cursor, role_pins, input, resends,
   created_by_id, created_at, dispatched_at, started_at, finished_at)
SELECT (lpad(to_hex((extract(epoch FROM made.at) * 1000)::bigint), 12, '0')
    || '70008' || substr(md5(made.n::text), 1, 15))::uuid,
  version.orchestration_id, version.id, made.status, 1, 0, '{}', '{}', 0,
  CASE WHEN made.n <= 20 THEN %(ada)s WHEN made.n %% 500 <> 0 THEN %(bob)s END,
  made.at, made.at, made.at,
  CASE WHEN made.status NOT IN ('running', 'paused') THEN made.at END
FROM (
  SELECT n, timestamptz '2026-01-01 00:00:00Z' + n * interval '1 minute' AS at,
    CASE WHEN n = 7 THEN 'timed_out' WHEN n %% 1000 = 0 THEN 'paused'
      WHEN n %% 50 = 0 THEN 'failed' ELSE 'completed' END AS status,
    CASE WHEN n <= 20 THEN 'Retired' WHEN n %% 3 = 0 THEN 'Common'
      ELSE 'Other ' || n %% 10 END AS name
  FROM generate_series(1, %(many)s) n) made
JOIN core_orchestration_orchestration orchestration ON orchestration.name = made.name
JOIN core_orchestration_orchestrationversion version
  ON version.orchestration_id = orchestration.id
"""


@pytest.fixture
def history(user: User, other: User) -> None:
    for name in ("Retired", "Common", *(f"Other {n}" for n in range(10))):
        made = Orchestration.objects.create(name=name)
        OrchestrationVersion.objects.create(
            orchestration=made, number=1, definition={}, digest=name
        )
    with connection.cursor() as cursor:
        cursor.execute(_SEED, {"ada": user.pk, "bob": other.pk, "many": MANY})
        assert cursor.rowcount == MANY
        cursor.execute("ANALYZE executions_execution")
        # What a table of six thousand rows would be cheap to read with.
        cursor.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"
        )


OLD = quote("2026-01-01T00:15:00Z")
QUERIES = (
    "",
    "status=failed",
    "status=timed_out",
    "status=waiting",
    "status=failed,timed_out,paused",
    "orchestration=Common",
    "orchestration=Retired",
    "orchestration=Unknown",
    "orchestration=Common&status=failed",
    "orchestration=Common&status=timed_out,paused",
    "orchestration=Retired&status=timed_out",
    f"created_before={OLD}",
    f"created_after={OLD}",
    f"created_after={OLD}&created_before={OLD}",
    "created_after=9999-12-31T23:59:59Z",
    "created_before=0001-01-01T00:00:00Z",
    f"created_before={OLD}&status=completed",
    f"created_before={OLD}&orchestration=Retired",
    "search=retired",
    "search=nothing",
    "search=019b7",
    "search=ffff",
    "search=019b7&orchestration=Common",
    f"search=comm&status=failed&created_after={OLD}",
)


def read_by(client: Any, address: str) -> list[tuple[Any, int]]:
    """Ask for a page; return its statements about executions and what each reads."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    asked = [each["sql"] for each in queries if '"executions_execution"' in each["sql"]]
    assert 0 < len(asked) <= 2  # the page, and the admin's count
    return [(sql, sum(_rows_read(_explained(sql)))) for sql in asked]


def _explained(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        found = cursor.fetchone()[0]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]
    return plan["Plan"]  # type: ignore[no-any-return]


def _rows_read(node: dict[str, Any]) -> Iterator[int]:
    if node.get("Relation Name") == "executions_execution":
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield round(rows * node["Actual Loops"])
    for part in node.get("Plans", ()):
        yield from _rows_read(part)


@pytest.mark.usefixtures("history")
def test_a_page_reads_no_more_than_it_shows(
    api: APIClient, other_api: APIClient, staff_api: APIClient
) -> None:
    for who, client in (("ada", api), ("bob", other_api), ("eve", staff_api)):
        for query in QUERIES:
            address = f"{EXECUTIONS}?page_size={SHOWN}&{query}"
            for sql, rows in read_by(client, address):
                assert rows <= MOST_READ, (who, query, sql)


@pytest.mark.usefixtures("history")
def test_the_next_page_and_the_one_before_read_no_more(
    api: APIClient, other_api: APIClient, staff_api: APIClient
) -> None:
    for client in (api, other_api, staff_api):
        first = f"{EXECUTIONS}?page_size={SHOWN}"
        following = client.get(first).json()["next"]
        before = client.get(following).json()["previous"]
        for address in (following, before):
            assert read_by(client, address)[0][1] <= MOST_READ
        assert (
            client.get(before).json()["results"]
            == (client.get(first).json()["results"])
        )


@pytest.mark.usefixtures("history")
def test_a_list_shows_what_its_filters_say(
    user: User, other: User, staff: User
) -> None:
    for person in (user, other, staff):
        client = client_of(person)
        rows = Execution.objects.visible_to(person)
        for query in QUERIES:
            given = {
                name: [value.replace("%3A", ":")]
                for name, _, value in (part.partition("=") for part in query.split("&"))
                if name
            }
            meant = ExecutionFilter(MultiValueDict(given), queryset=rows)
            assert meant.is_valid()
            page = client.get(f"{EXECUTIONS}?page_size=200&{query}").json()
            assert [each["id"] for each in page["results"]] == [
                str(pk)
                for pk in meant.qs.order_by("-pk").values_list("pk", flat=True)[:200]
            ], (person, query)


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "status=timed_out",
        "status=waiting",
        "q=retired",
        "q=comm&status=failed",
        "p=20",
    ],
)
def test_the_admins_list_reads_no_more_than_up_to_its_page(
    client: Client, query: str
) -> None:
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client.force_login(root)
    shown = 20 * 50 if query == "p=20" else 50
    read = read_by(client, f"{ADMIN}?{query}")
    pages = [(sql, rows) for sql, rows in read if "COUNT(" not in sql]
    for sql, rows in pages:
        assert rows <= shown * 8 + 100, sql
