"""Names that come to mean something else, which is somebody else's."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.system import TERMINAL, step, until
from tests.faults.fleet import Fleet
from tests.faults.people import stranger

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def mallory(whole_fleet: Fleet) -> Iterator[httpx.Client]:
    with stranger(whole_fleet) as client:
        yield client


def test_a_name_that_became_somebody_elses_roles_opens_nothing(
    fleet: Fleet, mallory: httpx.Client
) -> None:
    # Given an orchestration that names a role, which then gets another name
    body = {"name": "Mailer", "kind": "function", "config": {"function": "text.upper"}}
    role = mallory.post("roles/", json=body).json()
    definition = {"name": "waiting", "steps": [step("a", "Mailer")]}
    made = mallory.post("orchestrations/", json=definition).json()
    address, renamed = f"roles/{role['id']}/", {"name": "Mailer of old"}
    assert mallory.patch(address, json=renamed).status_code == 200

    # When somebody else makes a role of that name, and the orchestration is executed
    config = {"function": "fault.effect"}
    fleet.post("roles/", {**body, "config": config}, status=201)
    path = f"orchestrations/{made['id']}/execute/"
    answer = mallory.post(path, json={})

    # Then it is refused, as if there were no such role
    if answer.is_success:
        where = f"executions/{answer.json()['id']}/"
        until(lambda: mallory.get(where).json()["status"] in TERMINAL, what="the end")
    assert fleet.begun() == {}
    assert (answer.status_code, answer.json()["code"]) == (409, "not_runnable")
