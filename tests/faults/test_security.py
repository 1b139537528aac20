"""The running system as somebody meets it who has no key, or the wrong intentions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.system import step
from tests.faults.fleet import Fleet
from tests.faults.people import stranger

pytestmark = pytest.mark.fault

METHODS = ("get", "post", "put", "patch", "delete")
PUBLIC = ("/healthz", "/readyz")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def mallory(whole_fleet: Fleet) -> Iterator[httpx.Client]:
    with stranger(whole_fleet) as client:
        yield client


@pytest.mark.parametrize(
    "key",
    [None, "Bearer core_00000000_" + "0" * 48, "Bearer " + "x" * 10_000, "Basic YTpi"],
)
def test_no_door_opens_without_a_key(fleet: Fleet, key: str | None) -> None:
    # Given somebody without a key, or with one that is none
    headers = {"Authorization": key} if key else {}
    with httpx.Client(base_url=root(fleet), headers=headers, timeout=20) as nobody:
        # When every address is tried with every method
        for path in paths(fleet):
            for method in METHODS:
                answer = nobody.request(method, filled(path, {}), json=body(method))

                # Then nothing is told but how to come back
                assert answer.status_code == 401, f"{method} {path}"
                assert answer.headers["WWW-Authenticate"] == "Bearer"

        # And what is public tells nothing of anybody's
        for path in PUBLIC:
            assert nobody.get(path).status_code == 200
        assert nobody.get("/admin/").status_code == 302
        assert nobody.get("/admin/executions/execution/").status_code == 302


def test_what_belongs_to_others_does_not_exist(
    fleet: Fleet, mallory: httpx.Client
) -> None:
    # Given a role, an orchestration and an execution of somebody else
    name = fleet.role("text.upper")
    made = fleet.orchestration(step("work", name, input_mapping="x"))
    execution = fleet.execute(made)
    ended = fleet.finished(execution)
    (role,) = fleet.get(f"roles/?name={name}")["results"]
    ids = {"roles": role["id"], "orchestrations": made["id"], "executions": execution}

    # When another user tries every address of theirs with every method there is
    described = fleet.get("schema/")["paths"]
    tried = 0
    for path, methods in described.items():
        for method in set(methods) & set(METHODS) if "{id}" in path else ():
            answer = mallory.request(method, filled(path, ids), json=body(method))
            tried += 1

            # Then it is as if they were not there
            assert answer.status_code == 404, f"{method} {path}: {answer.text}"
            assert answer.json() == not_there(mallory, method, path)
    assert tried >= 18

    # And no list, and nothing that is done to many, reaches them
    for kind, pk in ids.items():
        assert pk not in mallory.get(f"{kind}/").text
    order = {"action": "rerun", "ids": [execution]}
    report = mallory.post("executions/bulk/", json=order).json()
    assert (report["matched"], report["refused"][0]["code"]) == (0, "not_found")
    body_of_theirs = {"name": "mine", "steps": [step("a", name)]}
    answer = mallory.post("orchestrations/", json=body_of_theirs)
    assert answer.json()["errors"][0]["code"] == "unknown_role"
    assert fleet.execution(execution) == ended


def root(fleet: Fleet) -> str:
    return f"http://127.0.0.1:{fleet.port}"


def paths(fleet: Fleet) -> list[str]:
    """List what the description lists, and what describes it."""
    described = list(fleet.get("schema/")["paths"])
    assert len(described) > 15
    return [*described, "/api/v1/schema/", "/api/v1/docs/", "/api/v1/no/such/place"]


def filled(path: str, ids: dict[str, str]) -> str:
    kind = path.split("/")[3]
    nobodys = "00000000-0000-7000-8000-000000000000"
    return path.replace("{id}", ids.get(kind, nobodys))


def not_there(client: httpx.Client, method: str, path: str) -> Any:
    return client.request(method, filled(path, {}), json=body(method)).json()


def body(method: str) -> dict[str, Any] | None:
    return {} if method in ("post", "put", "patch") else None
