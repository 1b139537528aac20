"""Steering many executions in one request, and only those that are meant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from executions import bulk
from executions.models import Event, Execution
from tests.integration.answers import details_of, errors_of, problem_of
from tests.integration.engine import now_of
from tests.integration.states import brought

pytestmark = pytest.mark.django_db

BULK = "/api/v1/executions/bulk/"


def done(api: APIClient, body: dict[str, Any]) -> dict[str, Any]:
    response = api.post(BULK, body)
    assert response.status_code == 200, response.json()
    report: dict[str, Any] = response.json()
    return report


def ids_of(*executions: Execution) -> list[str]:
    return [str(execution.pk) for execution in executions]


def test_each_of_the_named_gets_its_own_answer(api: APIClient, user: User) -> None:
    between, paused, completed = (
        brought(state, of=user) for state in ("between", "paused", "completed")
    )
    body = {"action": "pause", "ids": ids_of(between, paused, completed)}
    report = done(api, body)
    assert {name: report[name] for name in ("matched", "done", "unchanged")} == {
        "matched": 3,
        "done": 1,
        "unchanged": 1,
    }
    assert [(each["id"], each["code"]) for each in report["refused"]] == [
        (str(completed.pk), "already_finished")
    ]
    assert report["refused"][0]["detail"]
    assert report["remaining"] == 0
    assert now_of(between).status == "paused"


@pytest.mark.parametrize(
    ("state", "verb", "status"),
    [
        ("between", "cancel", "cancelled"),
        ("claimed", "terminate", "cancelled"),
        ("between", "pause", "paused"),
        ("paused", "resume", "running"),
        ("failed", "retry", "running"),
        ("failed", "rerun", "failed"),
    ],
)
def test_every_verb_goes_for_many(
    api: APIClient, user: User, state: str, verb: str, status: str
) -> None:
    executions = [brought(state, of=user) for _ in range(2)]
    body = {"action": verb, "ids": ids_of(*executions), "reason": "all of it"}
    assert done(api, body)["done"] == 2
    assert {now_of(each).status for each in executions} == {status}
    if verb == "rerun":
        copies = Execution.objects.exclude(origin=None)
        assert {copy.created_by for copy in copies} == {user}
        assert len(copies) == 2
    else:
        told = [
            event.data["by"]
            for event in Event.objects.exclude(data=None)
            if event.data and "reason" in event.data and event.data["reason"]
        ]
        assert told
        assert set(told) == {"ada"}


def test_a_filter_narrows_as_the_list_does(api: APIClient, user: User) -> None:
    failed, paused, between = (
        brought(state, of=user) for state in ("failed", "paused", "between")
    )

    def matched(**criteria: Any) -> int:
        body = {"action": "cancel", "filter": criteria, "dry_run": True}
        count: int = done(api, body)["matched"]
        return count

    assert matched(status="failed") == 1
    assert matched(status=["failed", "paused"]) == 2
    assert matched(status="failed,paused") == 2
    assert matched(orchestration=str(failed.orchestration_id)) == 1
    assert matched(orchestration=paused.orchestration.name) == 1
    assert matched(search="orchestration") == 3
    assert matched(search="-") == 0
    assert matched(search="+") == 0
    assert matched(search=str(between.pk)) == 1
    second = paused.created_at.isoformat()
    assert matched(created_after=second) == 2
    assert matched(created_before=second) == 1
    assert matched(created_after=second, status="failed") == 0
    assert now_of(between).status == "running"


def test_only_what_the_caller_may_edit_is_meant(
    api: APIClient, staff_api: APIClient, user: User, other: User
) -> None:
    own, others, shared = (brought("between", of=each) for each in (user, other, None))
    criteria = {"status": "running"}
    body = {"action": "pause", "filter": criteria}
    assert done(api, body)["matched"] == 1
    named = done(api, {"action": "pause", "ids": ids_of(own, others, shared)})
    assert (named["matched"], named["unchanged"]) == (1, 1)
    assert {(each["id"], each["code"]) for each in named["refused"]} == {
        (str(others.pk), "not_found"),
        (str(shared.pk), "not_found"),
    }
    assert {now_of(each).status for each in (others, shared)} == {"running"}
    assert done(staff_api, body)["done"] == 2


def test_ids_that_are_not_there_are_named_and_do_not_stop_the_others(
    api: APIClient, user: User
) -> None:
    execution, unknown = brought("between", of=user), uuid4()
    ids = [str(unknown), str(execution.pk), str(execution.pk).upper()]
    report = done(api, {"action": "cancel", "ids": ids})
    assert (report["matched"], report["done"]) == (1, 1)
    assert [(each["id"], each["code"]) for each in report["refused"]] == [
        (str(unknown), "not_found")
    ]


def test_no_ids_are_none(api: APIClient, user: User) -> None:
    brought("between", of=user)
    assert done(api, {"action": "cancel", "ids": []}) == {
        "matched": 0,
        "done": 0,
        "unchanged": 0,
        "refused": [],
        "remaining": 0,
    }


def test_a_limited_number_is_done_and_the_oldest_first(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LIMIT", 2)
    executions = [brought("between", of=user) for _ in range(5)]
    body = {"action": "cancel", "filter": {"status": ["running"]}}
    remaining = []
    for _ in range(3):
        report = done(api, body)
        remaining.append((report["matched"], report["done"], report["remaining"]))
    assert remaining == [(5, 2, 3), (3, 2, 1), (1, 1, 0)]
    ends = [now_of(each).finished_at for each in executions]
    assert ends == sorted(end for end in ends if end)


def test_a_dry_run_counts_and_does_nothing(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LIMIT", 2)
    executions = [brought("between", of=user) for _ in range(3)]
    body = {"action": "terminate", "filter": {"status": "running"}, "dry_run": True}
    assert done(api, body) == {
        "matched": 3,
        "done": 0,
        "unchanged": 0,
        "refused": [],
        "remaining": 1,
    }
    assert {now_of(each).status for each in executions} == {"running"}


def test_at_most_a_hundred_refusals_are_told(api: APIClient, user: User) -> None:
    ids = [str(uuid4()) for _ in range(120)]
    assert len(done(api, {"action": "cancel", "ids": ids})["refused"]) == 100


def test_one_that_fails_does_not_stop_the_others(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (brought("between", of=user) for _ in range(2))
    cancel = bulk.CONTROLS["cancel"]

    def failing(execution_id: Any, **options: Any) -> bool:
        if execution_id == bad.pk:
            raise ZeroDivisionError
        return cancel(execution_id, **options)

    monkeypatch.setattr(bulk, "CONTROLS", {**bulk.CONTROLS, "cancel": failing})
    report = done(api, {"action": "cancel", "ids": ids_of(bad, good)})
    assert report["done"] == 1
    assert [each["code"] for each in report["refused"]] == ["internal_error"]
    assert now_of(good).status == "cancelled"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ([], {"": "wrong_type"}),
        ({}, {"": "required"}),
        ({"action": "cancel"}, {"": "ids_or_filter"}),
        (
            {"action": "cancel", "ids": [], "filter": {"status": "failed"}},
            {"": "ids_or_filter"},
        ),
        ({"action": "fork", "ids": []}, {"/action": "unknown_value"}),
        ({"action": 1, "ids": []}, {"/action": "wrong_type"}),
        ({"action": "cancel", "ids": "x"}, {"/ids": "wrong_type"}),
        (
            {"action": "cancel", "ids": ["x", 5, None]},
            {f"/ids/{place}": "invalid_id" for place in range(3)},
        ),
        ({"action": "cancel", "ids": [], "dry_run": 1}, {"/dry_run": "wrong_type"}),
        ({"action": "cancel", "ids": [], "reason": 1}, {"/reason": "wrong_type"}),
        ({"action": "cancel", "ids": [], "all": True}, {"/all": "unknown_field"}),
        ({"action": "cancel", "filter": "x"}, {"/filter": "wrong_type"}),
    ],
)
def test_a_body_that_is_none_does_nothing(
    api: APIClient, user: User, body: Any, errors: dict[str, str]
) -> None:
    execution = brought("between", of=user)
    response = api.post(BULK, body)
    assert response.status_code == 400
    assert errors_of(response) == errors
    assert now_of(execution).status == "running"


@pytest.mark.parametrize(
    ("criteria", "errors"),
    [
        ({}, {"/filter": "required"}),
        ({"status": []}, {"/filter": "required"}),
        ({"status": ","}, {"/filter": "required"}),
        ({"search": "  "}, {"/filter": "required"}),
        ({"created_after": ""}, {"/filter": "required"}),
        ({"status": ["canceled"]}, {"/filter/status": "unknown_value"}),
        ({"status": [1]}, {"/filter/status": "wrong_type"}),
        ({"status": None}, {"/filter/status": "wrong_type"}),
        ({"search": ["a"]}, {"/filter/search": "wrong_type"}),
        ({"created_after": "yesterday"}, {"/filter/created_after": "invalid"}),
        ({"page_size": "3"}, {"/filter/page_size": "unknown_field"}),
        ({"sattus": "failed"}, {"/filter/sattus": "unknown_field"}),
    ],
)
def test_a_filter_that_says_nothing_or_nonsense_is_refused(
    api: APIClient, user: User, criteria: Any, errors: dict[str, str]
) -> None:
    execution = brought("between", of=user)
    response = api.post(BULK, {"action": "terminate", "filter": criteria})
    assert response.status_code == 400
    assert errors_of(response) == errors
    assert all(details_of(response).values())
    assert now_of(execution).status == "running"


def test_the_empty_filter_is_told_what_to_give(api: APIClient) -> None:
    response = api.post(BULK, {"action": "cancel", "filter": {}})
    assert "status" in details_of(response)["/filter"]


def test_nobody_gets_in_without_a_key(anonymous: APIClient) -> None:
    execution = brought("between")
    response = anonymous.post(BULK, {"action": "cancel", "ids": ids_of(execution)})
    assert response.status_code == 401
    assert problem_of(response)["code"] == "not_authenticated"
    assert now_of(execution).status == "running"


def test_the_address_is_no_execution(api: APIClient) -> None:
    assert api.get(BULK).status_code == 405


def test_it_is_described(staff_api: APIClient) -> None:
    described = staff_api.get("/api/v1/schema/").json()["paths"][BULK]["post"]
    assert described["summary"]
    assert "parameters" not in described


def test_times_are_compared_with_their_zone(api: APIClient, user: User) -> None:
    execution = brought("between", of=user)
    before = (execution.created_at - timedelta(hours=1)).isoformat()
    body = {"action": "cancel", "filter": {"created_before": before}}
    assert done(api, body)["matched"] == 0
