"""What is done on failure, what undoes steps, and limits: in the admin's forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from roles.models import Role
from tests.integration.pages import PAGES, page, shown_step, step, step_errors, stored

pytestmark = pytest.mark.django_db

UNDO = {"role_name": "Shouter", "input_mapping": "{{ output }}"}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(
        User.objects.create(username="root", is_staff=True, is_superuser=True)
    )
    return client


@pytest.fixture(autouse=True)
def role(db: None) -> Role:
    return Role.objects.create(
        name="Shouter", kind="function", config={"function": "text.upper"}
    )


def holder(name: str, step_type: str, **changes: Any) -> dict[str, Any]:
    fields = {"key": name, "role_name": "", **changes}
    return step(name, step_type=step_type, **fields)


@pytest.fixture
def guarded(admin: Client) -> Orchestration:
    """An orchestration with two steps, and two on failure, one inside of the other."""
    data = page(
        step("Pay", key="pay", compensate=json.dumps(UNDO), milestone="again"),
        holder("again", "loop", on_failure="on", config='{"max_iterations": 3}'),
        step("Send", key="send"),
        step("Tell", key="tell", inside="again"),
        limits='{"max_steps": 9}',
        name="Guarded",
    )
    response = admin.post(PAGES + "add/", data)
    assert response.status_code == 302, response.context["errors"]
    return Orchestration.objects.get(name="Guarded")


def keys(steps: list[dict[str, Any]]) -> list[str]:
    return [each["key"] for each in steps]


def test_both_lists_are_entered_on_one_page(guarded: Orchestration) -> None:
    document = drafts.document_of(guarded)
    assert keys(document["steps"]) == ["pay", "send"]
    assert keys(document["on_failure"]) == ["again"]
    assert keys(document["on_failure"][0]["steps"]) == ["tell"]
    assert document["steps"][0]["compensate"] == UNDO
    assert document["steps"][0]["milestone"] == "again"
    assert document["limits"] == {"max_steps": 9}
    marked = guarded.step_rows.filter(on_failure=True)
    assert list(marked.values_list("key", flat=True)) == ["again"]


def test_a_page_that_is_saved_as_it_is_keeps_its_version(
    admin: Client, guarded: Orchestration
) -> None:
    before = guarded.published_id
    address = f"{PAGES}{guarded.pk}/change/"
    shown = shown_step(admin.get(address), 0)
    assert json.loads(shown["compensate"].value()) == UNDO
    assert shown["milestone"].value() == "again"
    data = page(*stored(guarded), name=guarded.name, limits='{"max_steps": 9}')
    assert admin.post(address, data).status_code == 302
    guarded.refresh_from_db()
    assert guarded.published_id == before


def test_a_step_changes_lists(admin: Client, guarded: Orchestration) -> None:
    forms = stored(guarded, send={"on_failure": "on"}, pay={"milestone": ""})
    address = f"{PAGES}{guarded.pk}/change/"
    assert admin.post(address, page(*forms, name=guarded.name)).status_code == 302
    document = drafts.document_of(guarded)
    assert keys(document["steps"]) == ["pay"]
    assert keys(document["on_failure"]) == ["again", "send"]


def test_problems_on_failure_stand_at_their_steps_and_fields(admin: Client) -> None:
    data = page(
        step(
            "Pay", key="pay", milestone="nobody", compensate='{"role_name": "Shuter"}'
        ),
        holder("again", "loop", on_failure="on", config="{}"),
        step("Tell", inside="again", input_mapping='"{{ context.failure.typ }}"'),
        step("Use", input_mapping='"{{ context.again }}"'),
    )
    response = admin.post(PAGES + "add/", data)
    assert step_errors(response, 0).keys() == {"milestone", "compensate"}
    assert "Shouter" in step_errors(response, 0)["compensate"][0]
    assert "max_iterations" in step_errors(response, 1)["config"][0]
    assert "'type'" in step_errors(response, 2)["input_mapping"][0]
    assert "on_failure" in step_errors(response, 3)["input_mapping"][0]
    assert not Orchestration.objects.exists()


def test_a_step_of_a_body_is_not_marked_by_itself(admin: Client) -> None:
    data = page(
        holder("again", "loop", config='{"max_iterations": 3}'),
        step("Tell", inside="again", on_failure="on"),
    )
    response = admin.post(PAGES + "add/", data)
    assert not step_errors(response, 0)
    assert "outermost" in step_errors(response, 1)["on_failure"][0]
    assert not Orchestration.objects.exists()


@pytest.mark.parametrize("limits", ['{"max_steps": 0}', '{"max_stps": 5}', "[1]", "{"])
def test_faulty_limits_stand_at_their_field(admin: Client, limits: str) -> None:
    response = admin.post(PAGES + "add/", page(step("A"), limits=limits))
    assert response.status_code == 200
    assert "limits" in response.context["adminform"].form.errors
    assert not Orchestration.objects.exists()


def test_the_types_that_wait_may_be_chosen(
    admin: Client, guarded: Orchestration
) -> None:
    content = admin.get(f"{PAGES}{guarded.pk}/change/").content.decode()
    for kind in ("wait", "approval", "orchestration"):
        assert f'<option value="{kind}"' in content
    data = page(holder("pause", "wait", config='{"duration": 5}'))
    response = admin.post(PAGES + "add/", data)
    assert "duration_ms" in step_errors(response, 0)["config"][0]
