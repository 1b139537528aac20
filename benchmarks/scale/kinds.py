"""What the API is asked for: pages of the list, one execution, and a new one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from benchmarks.core.client import Client

LISTS = "first page", "failed", "of one orchestration", "second page"
MORE = (
    "failed or cancelled",
    "cancelled of one orchestration",
    "of the last day, timed out",
    "before the last 60 days",
    "by part of a name",
    "by how an id begins",
    "of a user with few",
    "of a user with many",
)
READ, EXECUTE = "one execution", "execute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One request; `path` follows `/api/v1/`."""

    name: str
    path: str
    token: str
    method: str = "GET"

    @property
    def is_list(self) -> bool:
        return self.name not in (READ, EXECUTE)


def of(port: int, tokens: Mapping[str, str]) -> list[Kind]:
    """Name the requests for one installation; tokens are by username."""
    with Client(port, tokens["admin"]) as client:
        page = json.loads(client.read("executions/"))
    one = page["results"][0]
    flow = {"orchestration": one["orchestration_id"]}
    paths = {
        "first page": _listed(),
        "failed": _listed(status="failed"),
        "of one orchestration": _listed(**flow),
        "second page": f"executions/?{urlsplit(page['next']).query}",
        "failed or cancelled": _listed(status="failed,cancelled"),
        "cancelled of one orchestration": _listed(status="cancelled", **flow),
        "of the last day, timed out": _listed(
            status="timed_out", created_after=_ago(days=1)
        ),
        "before the last 60 days": _listed(created_before=_ago(days=60)),
        "by part of a name": _listed(search="handling 07"),
        "by how an id begins": _listed(search=one["id"][:13]),
        READ: f"executions/{one['id']}/",
    }
    kinds = [
        Kind(name=name, path=path, token=tokens["admin"])
        for name, path in paths.items()
    ]
    for name, owner in (("of a user with few", "rare"), ("of a user with many", "ada")):
        kinds.append(Kind(name=name, path=_listed(), token=tokens[owner]))
    execute = f"orchestrations/{one['orchestration_id']}/execute/"
    return [
        *kinds,
        Kind(name=EXECUTE, path=execute, token=tokens["admin"], method="POST"),
    ]


def _listed(**filters: str) -> str:
    return f"executions/?{urlencode(filters)}" if filters else "executions/"


def _ago(*, days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()
