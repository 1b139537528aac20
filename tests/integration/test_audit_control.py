"""Who steered an execution, answered for it or posted an event: one entry for each."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from executions import attention, control, lifecycle
from executions.control import Refused
from executions.launch import launch
from executions.models import Execution
from tests.integration.approving import FORM, asked, asking
from tests.integration.auditing import entries, entry, whole_log
from tests.integration.engine import now_of, orchestration, role, step
from tests.integration.statements import statements
from tests.integration.states import brought

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

EXECUTIONS = "/api/v1/executions/"
NOTHING: dict[str, Any] = {}


def url_of(execution: Execution, verb: str) -> str:
    return f"{EXECUTIONS}{execution.pk}/{verb}/"


@pytest.mark.parametrize(
    ("state", "verb", "before", "after"),
    [
        ("claimed", "cancel", {"cancel_requested": False}, {"cancel_requested": True}),
        ("between", "terminate", {"status": "running"}, {"status": "cancelled"}),
        ("between", "pause", {"status": "running"}, {"status": "paused"}),
        ("paused", "resume", {"status": "paused"}, {"status": "running"}),
        ("failed", "retry", {"status": "failed"}, {"status": "running"}),
    ],
)
def test_each_verb_is_on_record_once(
    api: APIClient,
    user: User,
    state: str,
    verb: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    execution = brought(state, of=user)
    for _ in range(2):
        api.post(url_of(execution, verb), {"reason": "enough"})
    found = entry(f"execution.{verb}", user=user)
    assert (found.object_type, found.object_id) == ("execution", str(execution.pk))
    assert found.object_name == execution.orchestration.name
    assert (found.channel, found.detail) == ("api", "enough")
    assert (found.before, found.after) == (before, after)


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "rollback"])
def test_what_a_state_does_not_allow_leaves_nothing(
    api: APIClient, user: User, verb: str
) -> None:
    execution = brought("completed", of=user)
    assert api.post(url_of(execution, verb), {}).status_code == 409
    assert not entries("execution.")


def test_what_was_undone_by_a_fault_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = brought("between")
    pause = lifecycle.pause

    def failing(*args: Any) -> bool:
        assert pause(*args)
        raise RuntimeError

    monkeypatch.setattr(lifecycle, "pause", failing)
    with pytest.raises(RuntimeError):
        control.pause(execution.pk, by="ada")
    assert now_of(execution).status == "running"
    assert not entries("execution.")


def test_a_rollback_is_on_record() -> None:
    undone = step("a", role(), compensate={"role_name": role()})
    made = orchestration(undone, step("b", role()))
    execution = launch(made, {})
    assert control.rollback(execution.pk, by="ada", reason="wrong order")
    found = entry("execution.rollback")
    assert (found.channel, found.detail) == ("system", "wrong order")


def test_many_are_on_record_each(api: APIClient, user: User) -> None:
    chosen = [brought(state, of=user) for state in ("between", "paused", "completed")]
    ids = [str(each.pk) for each in chosen]
    before = len(entries("execution."))
    api.post(f"{EXECUTIONS}bulk/", {"action": "pause", "ids": ids, "reason": "night"})
    found = entries("execution.")[before:]
    assert [(each.action, each.object_id) for each in found] == [
        ("execution.pause", ids[0])
    ]
    assert (found[0].user, found[0].detail) == (user, "night")


def test_the_admin_steers_under_its_own_channel(client: Client) -> None:
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client.force_login(root)
    first, second = brought("between"), brought("between")
    page = "/admin/executions/execution/"
    client.post(f"{page}{first.pk}/control/", {"verb": "pause", "reason": "night"})
    client.post(page, {"action": "pause", "_selected_action": [str(second.pk)]})
    for execution in (first, second):
        found = entry("execution.pause", object_id=str(execution.pk))
        assert (found.channel, found.user) == ("admin", root)


def test_the_command_line_steers_as_its_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "operator")
    execution = brought("between")
    call_command("control", "pause", str(execution.pk), stdout=io.StringIO())
    found = entry("execution.pause")
    assert (found.channel, found.user, found.user_name) == (
        "command",
        None,
        "operator",
    )
    completed = brought("completed")
    with pytest.raises(CommandError):
        call_command("control", "pause", str(completed.pk), stdout=io.StringIO())
    assert len(entries("execution.")) == 1


def test_copies_are_on_record_with_what_they_are_of(api: APIClient, user: User) -> None:
    execution = brought("failed", of=user)
    rerun = api.post(url_of(execution, "rerun"), {}).json()
    fork = api.post(url_of(execution, "fork"), {"from_step": "b"}).json()
    first, second = entries("execution.", object_id=str(execution.pk))
    assert (first.action, second.action) == ("execution.rerun", "execution.fork")
    assert first.after is not None
    assert second.after is not None
    assert first.after["execution_id"] == rerun["id"]
    assert (second.after["execution_id"], second.after["from_step"]) == (
        fork["id"],
        "b",
    )


def test_a_repeated_request_for_a_copy_is_on_record_once(
    api: APIClient, user: User
) -> None:
    execution = brought("failed", of=user)
    for _ in range(2):
        answer = api.post(
            url_of(execution, "rerun"), {}, headers={"Idempotency-Key": "k"}
        )
        assert answer.status_code == 202
    assert entry("execution.rerun")


def test_starting_an_execution_asks_no_more_of_the_database(
    api: APIClient, user: User
) -> None:
    made = orchestration(step("a", role()))
    made.created_by = user
    made.save()
    with statements() as seen:
        answer = api.post(f"/api/v1/orchestrations/{made.pk}/execute/", {"input": {}})
    assert answer.status_code == 202
    assert not [each for each in seen if "auditentry" in each]
    assert not entries("execution.")


def test_a_step_is_settled_on_record(api: APIClient, user: User) -> None:
    execution = brought("aside", of=user)
    settle = {"path": "a", "action": "complete", "output": {"n": 1}, "reason": "seen"}
    for _ in range(2):
        assert api.post(url_of(execution, "settle"), settle).status_code == 200
    found = entry("execution.settle")
    assert (found.user, found.detail) == (user, "seen")
    assert found.before == {"a": {"status": "needs_attention"}}
    assert found.after == {"a": {"settled": "complete", "output": {"n": 1}}}


def test_a_settlement_that_is_refused_leaves_nothing() -> None:
    execution = brought("aside")
    with pytest.raises(Refused):
        attention.settle_step(
            execution.pk, "a", by="ada", action="complete", output="\0"
        )
    assert not entries("execution.")


# --- answers ----------------------------------------------------------------------


def test_an_answer_is_on_record(api: APIClient, user: User) -> None:
    approval = asked(asking(of=user, prompt="Pay?", form=FORM))
    place = f"/api/v1/approvals/{approval.pk}/"
    assert api.post(f"{place}approve/", {"answer": {"amount": "x"}}).status_code == 400
    assert not entries("approval.")
    api.post(f"{place}approve/", {"answer": {"amount": 3}, "comment": "fine"})
    assert api.post(f"{place}reject/", {}).status_code == 409
    found = entry("approval.")
    assert (found.action, found.user) == ("approval.answer", user)
    assert (found.object_id, found.object_name) == (str(approval.pk), "Pay?")
    assert found.before is not None
    assert found.before["decision"] is None
    assert found.after == {
        "decision": "approved",
        "answer": {"amount": 3},
        "comment": "fine",
    }


def test_an_answer_by_link_is_by_nobody_in_particular(
    api: APIClient, user: User
) -> None:
    approval = asked(asking(of=user))
    made = api.post(f"/api/v1/approvals/{approval.pk}/link/", {}).json()
    address = urlsplit(made["url"]).path
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)  # even of somebody who happens to be logged in
    browser.get(address)
    token = browser.cookies["csrftoken"].value
    form = {"decision": "rejected", "csrfmiddlewaretoken": token}
    assert browser.post(address, form).status_code == 200
    link, answer = entries("approval.")
    assert (link.action, link.user) == ("approval.link", user)
    assert (answer.action, answer.channel) == ("approval.answer", "api")
    assert (answer.user, answer.user_name, answer.api_key_id) == (None, "", None)
    assert answer.after is not None
    assert answer.after["comment"] == "By a link that ada made."
    assert address.rstrip("/").rpartition("/")[2] not in whole_log()


# --- events -----------------------------------------------------------------------


def test_an_event_is_on_record_once(api: APIClient, user: User) -> None:
    body = {"name": "paid", "payload": {"order": 17, "token": "s3cr3t"}}
    for _ in range(2):
        api.post("/api/v1/events/", body, headers={"Idempotency-Key": "k"})
    found = entry("event.post")
    assert (found.user, found.object_name) == (user, "paid")
    assert found.after == {"payload": {"order": 17, "token": "[hidden]"}}
    assert api.post("/api/v1/events/", {"name": ""}).status_code == 400
    assert len(entries("event.")) == 1


def test_an_event_for_one_execution_names_it(api: APIClient, user: User) -> None:
    execution = brought("between", of=user)
    api.post(url_of(execution, "signal"), {"name": "paid"})
    found = entry("event.post")
    assert found.after == {"execution_id": str(execution.pk), "payload": None}
