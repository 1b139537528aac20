"""Steering executions in the admin: by the list's actions and the page's buttons."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from executions import bulk
from executions.models import Event, Execution
from tests.integration.engine import now_of, run_at
from tests.integration.states import brought

PAGES = "/admin/executions/execution/"
VERBS = ("cancel", "terminate", "pause", "resume", "retry", "rerun")

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def looking(db: None) -> Client:
    """Somebody who may look at executions and no more."""
    eve = User.objects.create(username="eve", is_staff=True)
    eve.user_permissions.set(Permission.objects.filter(codename="view_execution"))
    client = Client()
    client.force_login(eve)
    return client


def page_of(client: Client, execution: Execution) -> str:
    return client.get(f"{PAGES}{execution.pk}/change/").content.decode()


def press(client: Client, execution: Execution, verb: str, **data: Any) -> str:
    """Press a button of an execution's page, and return the page that follows."""
    address = f"{PAGES}{execution.pk}/control/"
    response = client.post(address, {"verb": verb, **data}, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, verb: str, *executions: Execution, **data: Any) -> str:
    """Choose executions in the list and do something with them."""
    chosen = [execution.pk for execution in executions]
    data = {"action": verb, "_selected_action": chosen, **data}
    return client.post(PAGES, data, follow=True).content.decode()


# --- the page -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("pending", {"cancel", "terminate", "pause", "rerun"}),
        ("claimed", {"cancel", "terminate", "pause", "rerun"}),
        ("aside", {"cancel", "terminate", "pause", "rerun"}),
        ("paused", {"cancel", "terminate", "resume", "rerun"}),
        ("failed", {"retry", "rerun"}),
        ("cancelled", {"retry", "rerun"}),
        ("completed", {"rerun"}),
    ],
)
def test_the_page_offers_what_the_state_allows(
    admin: Client, state: str, verbs: set[str]
) -> None:
    page = page_of(admin, brought(state))
    offered = {verb for verb in VERBS if f'name="verb" value="{verb}"' in page}
    assert offered == verbs


def test_what_is_being_cancelled_can_still_be_terminated(admin: Client) -> None:
    execution = brought("claimed")
    press(admin, execution, "cancel")
    page = page_of(admin, execution)
    assert 'value="terminate"' in page
    assert 'value="cancel"' not in page
    assert 'value="pause"' not in page


@pytest.mark.parametrize(
    ("state", "steps"),
    [("pending", "a"), ("between", "ab"), ("failed", "ab"), ("completed", "ab")],
)
def test_a_fork_may_begin_where_all_before_is_finished(
    admin: Client, state: str, steps: str
) -> None:
    page = page_of(admin, brought(state))
    assert "".join(key for key in "ab" if f'<option value="{key}">' in page) == steps


@pytest.mark.parametrize(
    ("state", "verb", "status", "told"),
    [
        ("between", "cancel", "cancelled", "is asked to end"),
        ("claimed", "cancel", "running", "is asked to end"),
        ("between", "pause", "paused", "is paused"),
        ("paused", "resume", "running", "goes on"),
        ("failed", "retry", "running", "goes on from what failed"),
    ],
)
def test_a_button_does_what_it_says(
    admin: Client, state: str, verb: str, status: str, told: str
) -> None:
    execution = brought(state)
    assert told in press(admin, execution, verb, reason="because")
    assert now_of(execution).status == status
    reasons = [
        (event.data["by"], event.data["reason"])
        for event in Event.objects.filter(execution=execution).exclude(data=None)
        if event.data and "reason" in event.data
    ]
    assert ("root", "because") in reasons or verb == "cancel"


def test_what_is_so_already_is_told(admin: Client) -> None:
    execution = brought("paused")
    assert "was so already" in press(admin, execution, "pause")


def test_what_is_refused_says_why(admin: Client) -> None:
    execution = brought("completed")
    assert "completed already" in press(admin, execution, "cancel")
    assert now_of(execution).status == "completed"


def test_terminating_asks_first(admin: Client) -> None:
    execution = brought("claimed")
    asked = press(admin, execution, "terminate", reason="because")
    assert "End at once" in asked
    assert '<input type="hidden" name="reason" value="because">' in asked
    assert now_of(execution).status == "running"
    assert "is ended" in press(admin, execution, "terminate", confirmed="yes")
    assert now_of(execution).status == "cancelled"


def test_a_copy_is_shown(admin: Client, root: User) -> None:
    execution = brought("failed", given={"n": 1})
    rerun = press(admin, execution, "rerun")
    copy = Execution.objects.exclude(pk=execution.pk).get()
    assert (copy.input, copy.created_by) == ({"n": 1}, root)
    assert str(copy.pk) in rerun
    assert f'This is a copy of <a href="{PAGES}{execution.pk}/change/">' in rerun
    press(admin, execution, "fork", from_step="b")
    fork = Execution.objects.exclude(pk__in=[execution.pk, copy.pk]).get()
    assert fork.origin is not None
    assert fork.origin["from_step"] == "b"
    assert run_at(fork, "a").status == "completed"


@pytest.mark.parametrize("data", [{}, {"from_step": "zzz"}])
def test_a_fork_from_nowhere_is_refused(admin: Client, data: dict[str, str]) -> None:
    execution = brought("failed")
    assert 'class="error"' in press(admin, execution, "fork", **data)
    assert Execution.objects.count() == 1


# --- steps that need attention --------------------------------------------------------


def test_a_step_that_needs_attention_has_a_form(admin: Client) -> None:
    page = page_of(admin, brought("aside"))
    assert "needs attention" in page
    for action in ("complete", "fail", "run_again"):
        assert f'name="action" value="{action}"' in page
    assert "needs attention" not in page_of(admin, brought("claimed"))


@pytest.mark.parametrize(
    ("data", "status", "output"),
    [
        ({"action": "complete", "output": '{"n": 3}'}, "completed", {"n": 3}),
        ({"action": "complete", "output": ""}, "completed", None),
        ({"action": "fail", "reason": "No.", "output": "1"}, "failed", None),
    ],
)
def test_a_step_is_settled(
    admin: Client, data: dict[str, str], status: str, output: Any
) -> None:
    execution = brought("aside")
    assert "settled" in press(admin, execution, "settle", path="a", **data)
    run = run_at(execution, "a")
    assert (run.status, run.output) == (status, output)


def test_a_step_is_run_again(admin: Client) -> None:
    execution = brought("aside")
    page = press(admin, execution, "settle", path="a", action="run_again")
    assert "settled" in page
    assert run_at(execution, "a").status != "needs_attention"
    assert now_of(execution).status == "running"


@pytest.mark.parametrize(
    "data",
    [
        {"path": "a"},
        {"path": "", "action": "fail"},
        {"path": "zzz", "action": "fail"},
        {"path": "a", "action": "shrug"},
        {"path": "a", "action": "complete", "output": "{"},
        {"path": "a", "action": "complete", "output": "NaN"},
        {"path": "a", "action": "fail", "reason": "x" * 1001},
    ],
)
def test_what_settles_nothing_is_told(admin: Client, data: dict[str, str]) -> None:
    execution = brought("aside")
    assert 'class="error"' in press(admin, execution, "settle", **data)
    assert run_at(execution, "a").status == "needs_attention"


def test_markup_in_what_was_typed_is_escaped(admin: Client) -> None:
    evil = "<script>alert(1)</script>"
    execution = brought("aside")
    for data in ({"path": evil, "action": "fail"}, {"path": "a", "action": evil}):
        assert evil not in press(admin, execution, "settle", **data)
    assert evil not in press(admin, execution, "terminate", reason=evil)


# --- the list -------------------------------------------------------------------------


def test_several_are_steered_in_the_list(admin: Client) -> None:
    between, paused, completed = map(brought, ("between", "paused", "completed"))
    page = act(admin, "pause", between, paused, completed)
    assert "Pause: 1 done, 1 were so already, 1 refused." in page
    assert "1 of them: The execution is completed already" in page
    assert now_of(between).status == "paused"


@pytest.mark.parametrize(
    ("state", "verb", "status"),
    [
        ("between", "cancel", "cancelled"),
        ("paused", "resume", "running"),
        ("failed", "retry", "running"),
        ("failed", "rerun", "failed"),
    ],
)
def test_every_verb_is_in_the_list(
    admin: Client, state: str, verb: str, status: str
) -> None:
    executions = [brought(state) for _ in range(2)]
    assert ": 2 done." in act(admin, verb, *executions)
    assert {now_of(each).status for each in executions} == {status}
    assert Execution.objects.count() == (4 if verb == "rerun" else 2)


def test_terminating_several_asks_first(admin: Client) -> None:
    executions = [brought("claimed") for _ in range(2)]
    asked = act(admin, "terminate", *executions)
    assert "2 executions chosen" in asked
    for execution in executions:
        assert f'name="_selected_action" value="{execution.pk}"' in asked
        assert now_of(execution).status == "running"
    assert "2 done" in act(admin, "terminate", *executions, confirmed="yes")
    assert {now_of(each).status for each in executions} == {"cancelled"}


def test_all_that_the_list_found_can_be_chosen(admin: Client) -> None:
    running = [brought("claimed") for _ in range(2)]
    paused = brought("paused")
    data = {"action": "terminate", "select_across": "1", "_selected_action": ["x"]}
    asked = admin.post(f"{PAGES}?status=running", data).content.decode()
    assert "2 executions chosen" in asked
    assert '<input type="hidden" name="select_across" value="1">' in asked
    admin.post(f"{PAGES}?status=running", {**data, "confirmed": "yes"})
    assert {now_of(each).status for each in running} == {"cancelled"}
    assert now_of(paused).status == "paused"


def test_more_than_the_limit_is_told(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LIMIT", 2)
    page = act(admin, "pause", *(brought("between") for _ in range(3)))
    assert "Pause: 2 done." in page
    assert "1 more were chosen" in page


# --- who may --------------------------------------------------------------------------


def test_who_may_only_look_steers_nothing(looking: Client) -> None:
    execution = brought("aside")
    page = page_of(looking, execution)
    assert "control/" not in page
    for verb in (*VERBS, "fork", "settle"):
        data = {"verb": verb, "confirmed": "yes", "from_step": "a"}
        address = f"{PAGES}{execution.pk}/control/"
        assert looking.post(address, data).status_code == 403
        act(looking, verb, execution, confirmed="yes")
    assert now_of(execution).status == "waiting"
    assert Execution.objects.count() == 1


def test_buttons_need_a_person_a_post_and_a_token(client: Client, root: User) -> None:
    execution = brought("between")
    address = f"{PAGES}{execution.pk}/control/"
    assert client.post(address, {"verb": "cancel"}).status_code == 302
    client.force_login(root)
    assert client.get(address).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(root)
    assert strict.post(address, {"verb": "cancel"}).status_code == 403
    assert now_of(execution).status == "running"


def test_what_is_not_there_is_not_found(admin: Client) -> None:
    address = f"{PAGES}{uuid4()}/control/"
    assert admin.post(address, {"verb": "cancel"}).status_code == 404


@pytest.mark.parametrize("verb", ["", "delete", "__init__"])
def test_a_verb_that_is_none_is_refused(admin: Client, verb: str) -> None:
    address = f"{PAGES}{brought('between').pk}/control/"
    assert admin.post(address, {"verb": verb}).status_code == 400
