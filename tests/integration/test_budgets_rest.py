"""Budgets over REST and in the admin: made, changed, refused; who may do what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from executions import lifecycle
from executions.models import Budget, BudgetAccount, Exchange, Reservation, Spending
from executions.spending import budgets
from roles.models import AuditEntry, Role
from tests.integration.answers import errors_of
from tests.integration.engine import claimed, launched, role, step
from tests.integration.spending import budget, recorded, reserve, running
from tests.integration.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)

BUDGETS = "/api/v1/budgets/"
MakeRole = Callable[..., Role]


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    budgets.forget()
    yield
    budgets.forget()


@pytest.fixture
def document(make_role: MakeRole) -> dict[str, Any]:
    made = make_role("Researcher")
    return {"scope": "role", "scope_id": str(made.pk), "money": "10", "period": "day"}


def url_of(made: Budget) -> str:
    return f"{BUDGETS}{made.pk}/"


def test_a_budget_is_made_and_read_back(
    api: APIClient, user: User, document: dict[str, Any]
) -> None:
    made = api.post(BUDGETS, document)
    assert made.status_code == 201, made.json()
    read = api.get(made.headers["Location"])
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"]
    assert read.json() == {
        **document,
        "id": made.json()["id"],
        "per_execution": False,
        "money": "10.000000",
        "tokens": None,
        "requests": None,
        "soft_percent": 80,
        "on_soft": "event",
        "on_hard": "wait",
        "is_active": True,
        "accounts": [],
        "created_at": made.json()["created_at"],
        "updated_at": made.json()["updated_at"],
    }
    assert Budget.objects.get().created_by == user


def test_what_was_read_can_be_written_back(
    api: APIClient, document: dict[str, Any]
) -> None:
    made = api.post(BUDGETS, document)
    url, read = made.headers["Location"], made.json()
    assert api.put(url, read).status_code == 200
    assert api.get(url).json() | {"updated_at": None} == read | {"updated_at": None}


def test_accounts_show_what_is_spent_reserved_and_left(
    api: APIClient, document: dict[str, Any]
) -> None:
    url = api.post(BUDGETS, document | {"requests": 5}).headers["Location"]
    reserve(Budget.objects.get(), money=3)
    BudgetAccount.objects.update(money=Decimal("1.5"), tokens=7, requests=2)
    (account,) = api.get(url).json()["accounts"]
    assert account["spent"] == {"money": "1.500000", "tokens": 7, "requests": 2}
    assert account["reserved"] == {"money": "3.000000", "tokens": 100, "requests": 1}
    assert account["left"] == {"money": "5.500000", "tokens": None, "requests": 2}
    assert account["execution_id"] is None
    assert account["period_start"] is not None


def test_every_fault_of_a_budget_is_named_at_once(api: APIClient) -> None:
    response = api.post(
        BUDGETS,
        {
            "scope": "planet",
            "scope_id": "x",
            "money": "a lot",
            "tokens": -1,
            "requests": True,
            "soft_percent": 0,
            "on_soft": "panic",
            "on_hard": None,
            "is_active": 1,
            "per_execution": "no",
            "period": "week",
            "limt": 3,
        },
    )
    assert response.status_code == 400
    errors = errors_of(response)
    assert errors.pop("/limt") == "unknown_field"
    assert set(errors) == {f"/{name}" for name in FAULTY}
    assert set(errors.values()) == {"invalid"}
    assert not Budget.objects.exists()


FAULTY = (
    "scope",
    "scope_id",
    "money",
    "tokens",
    "requests",
    "soft_percent",
    "on_soft",
    "on_hard",
    "is_active",
    "per_execution",
    "period",
)


@pytest.mark.parametrize(
    "money", ["-1", "NaN", "1e40", "0.0000001", [1], {"a": 1}, "", True]
)
def test_money_is_an_amount(
    api: APIClient, document: dict[str, Any], money: Any
) -> None:
    response = api.post(BUDGETS, document | {"money": money})
    assert errors_of(response) == {"/money": "invalid"}


@pytest.mark.parametrize("body", [[], "budget", 7])
def test_a_budget_is_an_object(api: APIClient, body: Any) -> None:
    assert errors_of(api.post(BUDGETS, body)) == {"": "wrong_type"}


def test_a_budget_limits_something(api: APIClient, document: dict[str, Any]) -> None:
    response = api.post(BUDGETS, document | {"money": None})
    assert errors_of(response) == {"": "required"}


def test_a_place_has_one_budget_in_a_period(
    api: APIClient, document: dict[str, Any]
) -> None:
    assert api.post(BUDGETS, document).status_code == 201
    assert errors_of(api.post(BUDGETS, document)) == {"/scope_id": "budget_exists"}
    assert api.post(BUDGETS, document | {"period": "month"}).status_code == 201


def test_what_a_budget_is_for_stays(api: APIClient, document: dict[str, Any]) -> None:
    url = api.post(BUDGETS, document).headers["Location"]
    response = api.patch(url, {"scope_id": str(uuid4()), "period": "month"})
    assert errors_of(response) == {"/scope_id": "fixed", "/period": "fixed"}
    assert api.patch(url, []).status_code == 400


def test_a_stale_change_is_refused(api: APIClient, document: dict[str, Any]) -> None:
    made = api.post(BUDGETS, document)
    url, tag = made.headers["Location"], made.headers["ETag"]
    assert api.patch(url, {"money": 5}, headers={"if-match": tag}).status_code == 200
    assert api.patch(url, {"money": 6}, headers={"if-match": tag}).status_code == 412
    assert api.delete(url, headers={"if-match": tag}).status_code == 412
    assert Budget.objects.get().money == 5


def test_changes_are_on_record(api: APIClient, document: dict[str, Any]) -> None:
    url = api.post(BUDGETS, document).headers["Location"]
    api.patch(url, {"money": "12.5"})
    assert api.delete(url).status_code == 204
    entries = AuditEntry.objects.filter(object_type="budget").order_by("id")
    made, changed, removed = entries
    assert [each.action for each in entries] == [
        "budget.create",
        "budget.update",
        "budget.delete",
    ]
    assert made.after is not None
    assert made.after["money"] == "10"
    assert (changed.before, changed.after) == (
        {"money": "10.000000"},
        {"money": "12.5"},
    )
    assert removed.before is not None


# --- who may --------------------------------------------------------------------------


def test_nobody_limits_what_they_may_not_change(
    api: APIClient, other_api: APIClient, staff_api: APIClient, user: User, other: User
) -> None:
    mine = running(created_by=user)
    key = user.api_keys.get()
    for scope, id_ in (("execution", mine.run.execution_id), ("api_key", key.pk)):
        body = {"scope": scope, "scope_id": str(id_), "requests": 3}
        refused = other_api.post(BUDGETS, body)
        assert errors_of(refused) == {"/scope_id": "unknown_id"}
        assert api.post(BUDGETS, body).status_code == 201
    body = {"scope": "role", "scope_id": str(uuid4()), "requests": 3}
    assert errors_of(staff_api.post(BUDGETS, body)) == {"/scope_id": "unknown_id"}


def test_a_limit_is_seen_by_whom_it_limits_and_lifted_by_who_set_it(
    api: APIClient,
    other_api: APIClient,
    staff_api: APIClient,
    anonymous: APIClient,
    document: dict[str, Any],
) -> None:
    url = staff_api.post(BUDGETS, document).headers["Location"]
    assert api.get(url).status_code == 200
    assert api.patch(url, {"money": 1000}).status_code == 403
    assert api.delete(url).status_code == 403
    assert other_api.get(url).status_code == 404
    assert other_api.patch(url, {"money": 1000}).status_code == 404
    assert other_api.get(BUDGETS).json()["results"] == []
    assert anonymous.get(url).status_code == 401
    assert staff_api.patch(url, {"money": 1000}).status_code == 200


def test_an_allotted_budget_is_lifted_by_staff_alone(
    api: APIClient, staff_api: APIClient, user: User
) -> None:
    claim = running(created_by=user)
    made = budget("execution", claim.run.execution_id)
    assert api.get(url_of(made)).status_code == 200
    assert api.patch(url_of(made), {"money": 1000}).status_code == 403
    assert staff_api.patch(url_of(made), {"money": 1000}).status_code == 200


def test_lists_narrow_and_cost_the_same_whatever_their_length(
    staff_api: APIClient,
) -> None:
    for _ in range(2):
        reserve(budget(requests=5))
    staff_api.get(BUDGETS)  # the key's use is noted once a minute
    with statements() as few:
        assert len(staff_api.get(BUDGETS).json()["results"]) == 2
    for _ in range(8):
        reserve(budget("api_key", requests=5), share=None)
    with statements() as many:
        page = staff_api.get(BUDGETS).json()["results"]
    assert len(few) == len(many) == 3, many  # the key, the budgets, their accounts
    assert all(len(each["accounts"]) == 1 for each in page)
    narrowed = staff_api.get(BUDGETS, {"scope": "role"}).json()["results"]
    assert len(narrowed) == 2
    one = {"scope_id": narrowed[0]["scope_id"]}
    assert len(staff_api.get(BUDGETS, one).json()["results"]) == 1
    assert staff_api.get(BUDGETS, {"scope": "planet"}).status_code == 400


# --- raised and taken away ------------------------------------------------------------


@pytest.mark.parametrize("change", ["raised", "off", "gone"])
def test_what_waits_goes_on_when_a_budget_is_changed(
    staff_api: APIClient, change: str
) -> None:
    made = budget(requests=0)
    execution = launched(step("a", role()))
    claim = claimed(execution, "a")
    state = {"parked": "budget", "detail": "None left.", "budget": str(made.pk)}
    assert lifecycle.park(
        claim, state=state, after_s=None, question=None, among=range(1)
    )
    assert lifecycle.due_waits(execution.pk) == []
    if change == "gone":
        assert staff_api.delete(url_of(made)).status_code == 204
    else:
        changes = {"requests": 5} if change == "raised" else {"is_active": False}
        # It is for a role that never was: whom it is for is asked when it is made.
        assert staff_api.patch(url_of(made), changes).status_code == 200
    assert lifecycle.due_waits(execution.pk) == ["a"]


def test_a_budget_goes_with_what_is_reserved_of_it(staff_api: APIClient) -> None:
    made = budget(requests=5)
    reserve(made)
    assert staff_api.delete(url_of(made)).status_code == 204
    assert not BudgetAccount.objects.exists()
    assert not Reservation.objects.exists()


def test_the_soft_limit_is_told_again_after_a_change(staff_api: APIClient) -> None:
    made = budget(requests=1)
    assert reserve(made).answer == "soft"
    assert staff_api.patch(url_of(made), {"requests": 2}).status_code == 200
    assert reserve(made).answer == "soft"


# --- the admin ------------------------------------------------------------------------


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_a_budget_is_made_and_changed_in_the_admin(
    desk: Client, document: dict[str, Any]
) -> None:
    form = {
        **document,
        "tokens": "",
        "requests": "",
        "soft_percent": "80",
        "on_soft": "event",
        "on_hard": "wait",
        "is_active": "on",
    }
    add = "/admin/executions/budget/add/"
    assert desk.get(add).status_code == 200
    response = desk.post(add, form)
    assert response.status_code == 302, response.content
    made = Budget.objects.get()
    reserve(made)
    change = f"/admin/executions/budget/{made.pk}/change/"
    assert "requests reserved" in desk.get(change).content.decode()
    assert desk.post(change, form | {"money": "20"}).status_code == 302
    assert Budget.objects.get().money == 20
    assert AuditEntry.objects.filter(object_type="budget").count() == 2
    gone = f"/admin/executions/budget/{made.pk}/delete/"
    assert desk.post(gone, {"post": "yes"}).status_code == 302
    assert not Budget.objects.exists()


def test_the_admin_shows_what_is_wrong_with_a_budget(
    desk: Client, document: dict[str, Any]
) -> None:
    form = {
        **document,
        "scope_id": str(uuid4()),
        "soft_percent": "80",
        "on_soft": "event",
        "on_hard": "wait",
    }
    page = desk.post("/admin/executions/budget/add/", form)
    assert page.status_code == 200
    assert "There is no role with this id" in page.content.decode()


def test_the_ledger_and_the_exchanges_are_read_only(desk: Client) -> None:
    recorded(running(), messages=[{"text": "<b>hello</b>"}])
    for name, row in (("spending", Spending), ("exchange", Exchange)):
        place = f"/admin/executions/{name}/"
        assert desk.get(place).status_code == 200
        assert desk.get(f"{place}add/").status_code == 403
        pk = row.objects.get().pk
        page = desk.get(f"{place}{pk}/change/")
        assert page.status_code == 200
        assert desk.post(f"{place}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert "&lt;b&gt;hello" in page.content.decode()
