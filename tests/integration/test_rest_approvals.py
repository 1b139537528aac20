"""Approvals over REST, and the links with which strangers answer."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.signing import TimestampSigner
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from executions import control
from executions.models import Approval, Execution
from tests.integration.answers import errors_of, problem_of
from tests.integration.approving import (
    FORM,
    asked,
    asking,
    begun,
    let_expire,
    question,
    round_of_reconciler,
    say,
)
from tests.integration.asking import outputs, statuses
from tests.integration.engine import launched, now_of
from tests.integration.statements import statements

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

APPROVALS = "/api/v1/approvals/"


def url_of(execution: Execution, verb: str = "") -> str:
    return f"{APPROVALS}{asked(execution).pk}/" + (f"{verb}/" if verb else "")


def listed(api: APIClient, **query: Any) -> list[str]:
    answer = api.get(APPROVALS, query)
    assert answer.status_code == 200, answer.json()
    return [each["execution_id"] for each in answer.json()["results"]]


# --- read -------------------------------------------------------------------------


def test_a_question_is_read_with_all_that_is_known(api: APIClient, user: User) -> None:
    execution = asking(of=user, prompt="Pay?", form=FORM, users=["ada"])
    body = api.get(url_of(execution)).json()
    assert body == {
        "id": str(asked(execution).pk),
        "execution_id": str(execution.pk),
        "path": "ask",
        "prompt": "Pay?",
        "form": FORM,
        "status": "open",
        "users": ["ada"],
        "groups": [],
        "permission": "",
        "asked_at": body["asked_at"],
        "expires_at": None,
        "decided_at": None,
        "decided_by": None,
        "channel": "",
        "answer": None,
        "comment": "",
    }


def test_a_list_has_what_the_caller_may_answer_or_has(
    api: APIClient, other_api: APIClient, user: User, other: User
) -> None:
    mine, theirs = asking(of=user), asking(of=other, users=["bob"])
    done = asking(of=user)
    say(asked(done), user)
    gone = asking(of=user)
    control.terminate(gone.pk, by="ada")

    assert listed(api) == [str(done.pk), str(mine.pk)]
    assert listed(api, status="open") == [str(mine.pk)]
    assert listed(api, status="decided") == [str(done.pk)]
    assert listed(api, status="open,decided") == listed(api)
    assert listed(api, execution=mine.pk) == [str(mine.pk)]
    assert listed(other_api) == [str(theirs.pk)]


def test_filters_that_mean_nothing_are_refused(api: APIClient) -> None:
    answer = api.get(APPROVALS, {"status": "opne"})
    assert errors_of(answer) == {"/status": "unknown_value"}
    assert api.get(APPROVALS, {"execution": "x"}).status_code == 400


@pytest.mark.parametrize("many", [2, 12])
def test_a_list_costs_the_same_whatever_its_length(
    api: APIClient, user: User, many: int
) -> None:
    user.groups.add(Group.objects.create(name="ops"))
    for number in range(many):
        execution = asking(of=user, groups=["ops"])
        if number % 2:
            say(asked(execution), user)
    api.get(APPROVALS)  # the key's use is noted once a minute
    with statements() as seen:
        page = api.get(APPROVALS).json()
    assert len(page["results"]) == many
    assert len(seen) == 5, seen  # the key, the groups, twice permissions, the rows


def test_a_list_comes_in_pages(api: APIClient, user: User) -> None:
    made = [str(asking(of=user).pk) for _ in range(3)]
    first = api.get(APPROVALS, {"page_size": 2}).json()
    second = api.get(first["next"]).json()
    both = [each["execution_id"] for each in first["results"] + second["results"]]
    assert both == made[::-1]


def test_what_others_are_asked_is_not_there(
    other_api: APIClient, anonymous: APIClient, user: User
) -> None:
    execution = asking(of=user)
    for verb in ("approve", "reject", "link"):
        answer = other_api.post(url_of(execution, verb), {})
        assert (answer.status_code, problem_of(answer)["code"]) == (404, "not_found")
    assert other_api.get(url_of(execution)).status_code == 404
    assert other_api.get(f"{APPROVALS}{uuid4()}/").status_code == 404
    assert anonymous.get(APPROVALS).status_code == 401
    assert statuses(execution) == {"ask": "waiting"}


def test_the_log_of_a_step_leads_to_its_question(api: APIClient, user: User) -> None:
    execution = asking(of=user, users=["ada", "bob"], timeout_ms=60_000)
    body = api.get(f"/api/v1/executions/{execution.pk}/").json()
    [log] = body["step_logs"]
    assert log["approval_id"] == str(asked(execution).pk)
    assert body["waiting_on"] == log["waiting_on"]
    waits = log["waiting_on"]
    assert (waits["kind"], waits["step_key"]) == ("approval", "ask")
    assert waits["detail"] == "An answer to step 'ask' is due from users 'ada', 'bob'."
    assert waits["since"]
    assert waits["expected"]
    assert "approvals/" in waits["help"]

    say(asked(execution), user)
    body = api.get(f"/api/v1/executions/{execution.pk}/").json()
    assert body["step_logs"][0]["approval_id"] is None


def test_all_questions_of_an_execution_cost_one_query(
    api: APIClient, user: User
) -> None:
    def cost(*keys: str) -> int:
        members = [question(key, fields={"parallel_group": "g"}) for key in keys]
        execution = begun(launched(*members), of=user)
        api.get(f"/api/v1/executions/{execution.pk}/")
        with statements() as seen:
            body = api.get(f"/api/v1/executions/{execution.pk}/").json()
        assert all(log["approval_id"] for log in body["step_logs"])
        return len(seen)

    assert cost("a", "b") == cost(*"abcdefgh")


def test_whoever_may_steer_is_waited_for_if_nobody_is_named(
    api: APIClient, user: User
) -> None:
    execution = asking(of=user)
    waits = api.get(f"/api/v1/executions/{execution.pk}/").json()["waiting_on"]
    assert "due from whoever may steer the execution." in waits["detail"]


# --- answered ---------------------------------------------------------------------


def test_it_is_approved_with_what_the_form_asks_for(api: APIClient, user: User) -> None:
    execution = asking(of=user, form=FORM)
    given = {"answer": {"amount": 7}, "comment": "go"}
    answer = api.post(url_of(execution, "approve"), given)
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert body["status"] == "approved"
    assert (body["decided_by"], body["channel"], body["comment"], body["answer"]) == (
        "ada",
        "api",
        "go",
        {"amount": 7},
    )
    assert outputs(execution)["ask"] == {"amount": 7}


def test_it_is_rejected_without_a_body(api: APIClient, user: User) -> None:
    execution = asking(of=user)
    answer = api.post(url_of(execution, "reject"))
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
    assert now_of(execution).status == "failed"


def test_a_second_answer_hears_of_the_first(api: APIClient, user: User) -> None:
    execution = asking(of=user)
    first = api.post(url_of(execution, "approve"), {}).json()
    for verb in ("approve", "reject", "link"):
        answer = api.post(url_of(execution, verb), {})
        assert answer.status_code == 409
        body = problem_of(answer)
        assert body["code"] == "already_decided"
        assert (body["decision"], body["decided_by"]) == ("approved", "ada")
        assert body["decided_at"] == first["decided_at"]


def test_an_answer_to_what_was_cancelled_is_too_late(
    api: APIClient, user: User
) -> None:
    execution = asking(of=user)
    control.cancel(execution.pk, by="ada")
    answer = api.post(url_of(execution, "approve"), {})
    assert (answer.status_code, problem_of(answer)["code"]) == (409, "no_longer_asked")
    assert api.get(url_of(execution)).json()["status"] == "withdrawn"


@pytest.mark.parametrize(
    ("verb", "body", "errors"),
    [
        ("approve", {"answr": 1}, {"/answr": "unknown_field"}),
        ("approve", {"comment": 1}, {"/comment": "wrong_type"}),
        ("approve", {"answer": {"amount": "x"}}, {"/answer/amount": "wrong_type"}),
        ("approve", [], {"": "wrong_type"}),
        ("reject", {"answer": {"amount": 1}}, {"/answer": "unknown_field"}),
        ("link", {"expires_in_ms": 0}, {"/expires_in_ms": "out_of_range"}),
        ("link", {"expires_in_ms": "1"}, {"/expires_in_ms": "wrong_type"}),
    ],
)
def test_what_cannot_be_meant_is_refused(
    api: APIClient, user: User, verb: str, body: Any, errors: dict[str, str]
) -> None:
    execution = asking(of=user, form=FORM)
    answer = api.post(url_of(execution, verb), body)
    assert (answer.status_code, errors_of(answer)) == (400, errors)
    assert statuses(execution) == {"ask": "waiting"}


# --- links ------------------------------------------------------------------------


@pytest.fixture
def stranger() -> Client:
    return Client(enforce_csrf_checks=True)


def link_of(api: APIClient, execution: Execution, **body: Any) -> str:
    answer = api.post(url_of(execution, "link"), body)
    assert answer.status_code == 200, answer.json()
    return str(answer.json()["url"])


def press(client: Client, url: str, **data: Any) -> Any:
    """Open a link and press a button, as a browser does."""
    page = client.get(urlsplit(url).path)
    found = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode()
    )
    token = found.group(1) if found else ""
    given = {"decision": "approved", "csrfmiddlewaretoken": token, **data}
    return client.post(urlsplit(url).path, given)


def test_a_link_is_an_address_of_this_installation(
    api: APIClient, user: User, settings: Any
) -> None:
    settings.CORE_PUBLIC_URL = "https://core.example.com/"
    execution = asking(of=user)
    answer = api.post(url_of(execution, "link"), {"expires_in_ms": 60_000}).json()
    assert answer["url"].startswith("https://core.example.com/approve/")
    left = datetime.fromisoformat(answer["expires_at"]) - timezone.now()
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


def test_a_link_shows_the_question_and_changes_nothing(
    api: APIClient, user: User, stranger: Client
) -> None:
    execution = asking(of=user, prompt="<script>Pay?</script>", form=FORM)
    path = urlsplit(link_of(api, execution)).path
    for _ in range(2):
        page = stranger.get(path)
    text = page.content.decode()
    assert page.status_code == 200
    assert "&lt;script&gt;Pay?" in text
    assert "<script" not in text
    assert '<textarea id="answer"' in text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "no-store" in page.headers["Cache-Control"]
    assert stranger.head(path).status_code == 200
    assert Client().put(path).status_code == 405
    assert statuses(execution) == {"ask": "waiting"}


def test_a_link_answers_once(api: APIClient, user: User, stranger: Client) -> None:
    execution = asking(of=user, form=FORM)
    url = link_of(api, execution)

    page = press(stranger, url, answer='{"amount": 3}', comment="yes & no")

    assert page.status_code == 200, page.content
    approval = asked(execution)
    assert (approval.decision, approval.decided_by, approval.channel) == (
        "approved",
        None,
        "link",
    )
    assert approval.comment == "By a link that ada made: yes & no"
    assert outputs(execution)["ask"] == {"amount": 3}
    again = stranger.get(urlsplit(url).path)
    assert (
        again.status_code,
        "decided before: approved" in again.content.decode(),
    ) == (
        410,
        True,
    )
    token = stranger.cookies["csrftoken"].value
    replayed = {"decision": "rejected", "csrfmiddlewaretoken": token}
    assert stranger.post(urlsplit(url).path, replayed).status_code == 410
    assert asked(execution).decision == "approved"


def test_a_link_rejects_as_well(api: APIClient, user: User, stranger: Client) -> None:
    execution = asking(of=user, form=FORM, on_reject="continue")
    press(stranger, link_of(api, execution), decision="rejected", answer="{")
    assert statuses(execution)["ask"] == "waiting"
    press(stranger, link_of(api, execution), decision="rejected")
    said = {"approved": False, "by": None, "comment": "By a link that ada made."}
    assert outputs(execution)["ask"] == said


@pytest.mark.parametrize("given", ["", "{", '{"amount": "x"}', '{"amount": NaN}'])
def test_an_answer_by_link_has_to_fit_the_form(
    api: APIClient, user: User, stranger: Client, given: str
) -> None:
    execution = asking(of=user, form=FORM)
    page = press(stranger, link_of(api, execution), answer=given, comment="<b>")
    assert page.status_code == 400
    text = page.content.decode()
    assert 'class="faults"' in text
    assert "&lt;b&gt;" in text
    assert statuses(execution) == {"ask": "waiting"}


def test_without_the_page_nothing_is_answered(
    api: APIClient, user: User, stranger: Client
) -> None:
    execution = asking(of=user)
    path = urlsplit(link_of(api, execution)).path
    assert stranger.post(path, {"decision": "approved"}).status_code == 403
    assert statuses(execution) == {"ask": "waiting"}


@pytest.mark.parametrize(
    "spoiled", ["x", "{}x", "a:b:c", "..", "%00", "é", "x{}", "{0}{0}"]
)
def test_a_forged_link_opens_nothing(
    api: APIClient, user: User, stranger: Client, spoiled: str
) -> None:
    execution = asking(of=user)
    token = link_of(api, execution).rstrip("/").rpartition("/")[2]
    page = stranger.get(f"/approve/{spoiled.format(token)}/")
    assert page.status_code == 403
    assert "not made here" in page.content.decode()


def test_what_was_signed_for_something_else_is_forged(
    user: User, stranger: Client
) -> None:
    execution = asking(of=user)
    until = (timezone.now() + timedelta(days=1)).timestamp()
    signed = {"approval": str(asked(execution).pk), "by": user.pk, "until": until}
    token = TimestampSigner(salt="another").sign_object(signed)
    assert stranger.get(f"/approve/{token}/").status_code == 403


def dead(client: Client, url: str) -> str:
    page = client.get(urlsplit(url).path)
    assert page.status_code == 410
    return page.content.decode()


def test_a_link_ends(
    api: APIClient, user: User, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = link_of(api, asking(of=user), expires_in_ms=1_000)
    later = timezone.now() + timedelta(seconds=2)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert "expired" in dead(stranger, url)


def test_a_link_dies_with_the_question(
    api: APIClient, user: User, stranger: Client
) -> None:
    cancelled, late = asking(of=user), asking(of=user, timeout_ms=60_000)
    urls = [link_of(api, each) for each in (cancelled, late)]
    control.cancel(cancelled.pk, by="ada")
    let_expire(late)
    round_of_reconciler(late)
    assert "asked no longer" in dead(stranger, urls[0])
    assert "decided before: expired" in dead(stranger, urls[1])


def test_a_link_dies_when_its_time_is_over_though_nobody_saw_to_it(
    api: APIClient, user: User, stranger: Client
) -> None:
    execution = asking(of=user, timeout_ms=60_000)
    url = link_of(api, execution)
    let_expire(execution)
    page = press(stranger, url)
    assert page.status_code == 410
    assert asked(execution).decision == "expired"


def test_a_question_asked_anew_is_not_answered_by_an_old_link(
    api: APIClient, user: User, stranger: Client
) -> None:
    execution = asking(of=user)
    url = link_of(api, execution)
    say(asked(execution), user, "rejected")
    control.retry(execution.pk, by="ada")
    assert "decided before" in dead(stranger, url)
    assert statuses(execution)["ask"] == "waiting"


def test_a_link_dies_with_the_right_of_who_made_it(
    api: APIClient, user: User, stranger: Client
) -> None:
    url = link_of(api, asking(of=user))
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert "may not answer any more" in dead(stranger, url)
    Approval.objects.all().delete()
    dead(stranger, url)
