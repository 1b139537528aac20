"""Approvals in the admin: found, read, and answered by those who are asked."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from executions import control
from executions.models import Execution
from tests.integration.approving import FORM, asked, asking, say
from tests.integration.asking import outputs, statuses

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

PAGES = "/admin/executions/approval/"


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def looking(staff: User) -> Client:
    """Somebody who may look at approvals; eve is staff."""
    staff.user_permissions.set(Permission.objects.filter(codename="view_approval"))
    client = Client()
    client.force_login(staff)
    return client


def page_of(client: Client, execution: Execution) -> str:
    answer = client.get(f"{PAGES}{asked(execution).pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def decide(client: Client, execution: Execution, **data: Any) -> str:
    address = f"{PAGES}{asked(execution).pk}/decide/"
    given = {"decision": "approved", **data}
    answer = client.post(address, given, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_tells_what_is_open_and_what_is_decided(
    admin: Client, root: User
) -> None:
    asking(prompt="Still open?")
    say(asked(asking(prompt="Decided?")), root)
    control.terminate(asking(prompt="Gone?").pk, by="root")

    def shown(**query: str) -> set[str]:
        text = admin.get(PAGES, query).content.decode()
        return {each for each in ("Still open?", "Decided?", "Gone?") if each in text}

    assert shown() == {"Still open?", "Decided?", "Gone?"}
    assert shown(state="open") == {"Still open?"}
    assert shown(state="decided") == {"Decided?"}


def test_a_question_is_answered_on_its_page(admin: Client) -> None:
    execution = asking(prompt="<b>Pay?</b>", form=FORM)
    page = page_of(admin, execution)
    assert "&lt;b&gt;Pay?" in page
    assert 'value="approved"' in page

    assert "It is approved." in decide(admin, execution, answer='{"amount": 2}')

    assert outputs(execution)["ask"] == {"amount": 2}
    approval = asked(execution)
    assert (str(approval.decided_by), approval.channel) == ("root", "admin")
    page = page_of(admin, execution)
    assert 'value="approved"' not in page
    assert "by root at" in decide(admin, execution, answer='{"amount": 3}')


def test_a_question_is_rejected_there(admin: Client) -> None:
    execution = asking(form=FORM)
    decide(admin, execution, decision="rejected", comment="no")
    assert (statuses(execution)["ask"], asked(execution).comment) == ("failed", "no")


@pytest.mark.parametrize(
    "data", [{"decision": "perhaps"}, {"answer": "{"}, {"answer": '{"amount": "x"}'}]
)
def test_what_cannot_be_meant_is_told(admin: Client, data: Any) -> None:
    execution = asking(form=FORM)
    assert "errorlist" in decide(admin, execution, **data) or "error" in decide(
        admin, execution, **data
    )
    assert statuses(execution) == {"ask": "waiting"}


def test_others_look_and_do_not_answer(looking: Client, user: User) -> None:
    execution = asking(of=user, users=["ada"])
    assert 'value="approved"' not in page_of(looking, execution)
    assert "Others are asked" in decide(looking, execution)
    assert statuses(execution) == {"ask": "waiting"}


def test_who_is_asked_answers_there(looking: Client) -> None:
    execution = asking(users=["eve"])
    assert 'value="approved"' in page_of(looking, execution)
    decide(looking, execution)
    assert outputs(execution)["ask"]["by"] == "eve"


def test_who_may_not_look_may_not_answer(staff: User, client: Client) -> None:
    client.force_login(staff)
    execution = asking(users=["eve"])
    address = f"{PAGES}{asked(execution).pk}/decide/"
    assert client.post(address, {"decision": "approved"}).status_code == 403
    assert statuses(execution) == {"ask": "waiting"}


def test_an_address_is_only_for_answers_to_what_there_is(admin: Client) -> None:
    address = f"{PAGES}{uuid4()}/decide/"
    assert admin.post(address, {"decision": "approved"}).status_code == 404
    assert admin.get(address).status_code == 405


def test_nothing_is_changed_or_removed_there(admin: Client) -> None:
    execution = asking()
    pk = asked(execution).pk
    assert admin.get(f"{PAGES}add/").status_code == 403
    assert admin.post(f"{PAGES}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.post(f"{PAGES}{pk}/change/", {"comment": "x"}).status_code == 403
