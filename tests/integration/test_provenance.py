"""What executions and their objects say, over REST, about who made them."""

from __future__ import annotations

from uuid import UUID

import pytest
import redis
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from executions.models import Execution
from executions.worker.leases import Worker
from roles.models import ApiKey
from tests.integration.calling import agent, call, working
from tests.integration.engine import deliver_all, launched, orchestration, role, step

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "threads_keep_no_connection"),
]
FUNCTION = {"kind": "function", "config": {"function": "text.upper"}}


def test_an_execution_knows_the_api_key_that_asked_for_it(
    api: APIClient, user: User
) -> None:
    flow = orchestration(step("a", role()))
    url = f"/api/v1/orchestrations/{flow.pk}/execute/"
    begun = api.post(url, {}, format="json")
    assert begun.status_code == 202
    key = ApiKey.objects.get(user=user)
    first = Execution.objects.get(pk=begun.json()["id"])
    assert first.api_key_id == key.pk
    again = api.post(f"/api/v1/executions/{first.pk}/fork/", {"from_step": "a"})
    assert Execution.objects.get(pk=again.json()["id"]).api_key_id == key.pk


def test_an_execution_of_a_session_knows_no_key(user: User) -> None:
    flow = orchestration(step("a", role()))
    client = APIClient()
    client.force_login(user)
    url = f"/api/v1/orchestrations/{flow.pk}/execute/"
    begun = client.post(url, {}, format="json")
    assert Execution.objects.get(pk=begun.json()["id"]).api_key_id is None


def test_rest_tells_what_an_agent_made(api: APIClient, user: User) -> None:
    home = working(user)
    made_by = {"execution_id": str(home.pk), "step_path": "a", "role_name": "Builder"}
    made = call("system.create_role", agent(user, home), name="Own", **FUNCTION)
    steps = [{"name": "Do", "role_name": "Own"}]
    flow = call(
        "system.create_orchestration", agent(user, home), name="Flow", steps=steps
    )
    run = call("system.execute_orchestration", agent(user, home), name="Flow")

    assert api.get(f"/api/v1/roles/{made['id']}/").json()["provenance"] == made_by
    read = api.get(f"/api/v1/orchestrations/{flow['id']}/").json()
    assert read["provenance"] == made_by
    told = api.get(f"/api/v1/executions/{run['execution_id']}/").json()
    assert told["origin"] == {"kind": "agent", "from_step": None, **made_by}
    assert told["parent_execution_id"] == str(home.pk)


def test_a_document_that_was_read_is_taken_back_with_its_provenance(
    api: APIClient, user: User
) -> None:
    made = call("system.create_role", agent(user), name="Own", **FUNCTION)
    url = f"/api/v1/roles/{made['id']}/"
    read = api.get(url).json()
    again = api.put(url, {**read, "provenance": None}, format="json")
    assert again.status_code == 200
    assert again.json()["provenance"] == read["provenance"]


def test_the_children_of_children_spend_for_the_same_key(user: User) -> None:
    key = UUID(int=7)
    home = working(user, api_key_id=key)
    call("system.create_role", agent(user, home), name="Own", **FUNCTION)
    steps = [{"name": "Do", "role_name": "Own"}]
    call("system.create_orchestration", agent(user, home), name="F", steps=steps)
    call("system.execute_orchestration", agent(user, home), name="F")
    assert set(home.children.values_list("api_key_id", flat=True)) == {key}


def test_a_step_that_runs_an_orchestration_hands_the_key_on(
    broker: redis.Redis, this_worker: Worker
) -> None:
    inner = orchestration(step("a", role()))
    runs_it = {
        "key": "sub",
        "name": "Sub",
        "step_type": "orchestration",
        "config": {"orchestration_name": inner.name},
    }
    outer = launched(runs_it)
    Execution.objects.filter(pk=outer.pk).update(api_key_id=UUID(int=7))
    deliver_all(broker)
    assert outer.children.get().api_key_id == UUID(int=7)
