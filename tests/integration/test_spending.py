"""What agents spend: on record with every call, and summed up for whoever may see it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from executions import archive, lifecycle, record, recovery, retention
from executions.lifecycle import Claim, Outcome
from executions.management.commands.reconcile import Reconciler
from executions.models import (
    Budget,
    BudgetAccount,
    Exchange,
    Execution,
    Reservation,
    Spending,
    StepRun,
)
from executions.spending import budgets, exchanges, ledger, reports
from executions.spending.exchanges import Entry
from executions.spending.usage import Usage
from executions.states import StepStatus
from tests.integration.answers import errors_of
from tests.integration.engine import (
    DONE,
    claimed,
    launched,
    now_of,
    role,
    run_at,
    step,
)
from tests.integration.spending import agent, budget, call, recorded, reserve, running
from tests.integration.statements import statements

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)

USAGE = "/api/v1/usage/"
ONE: dict[str, Any] = {
    "requests": 1,
    "tool_calls": 1,
    "input_tokens": 100,
    "cached_tokens": 40,
    "output_tokens": 20,
    "reasoning_tokens": 5,
    "cost": "0.500000",
    "unpriced_requests": 0,
}


def times(number: int) -> dict[str, Any]:
    counts = {key: value * number for key, value in ONE.items() if key != "cost"}
    return counts | {"cost": f"{number * Decimal('0.5'):.6f}"}


def entry(claim: Claim, call_id: str, data: dict[str, Any], **fields: Any) -> Entry:
    run = claim.run
    given: dict[str, Any] = {
        "execution_id": run.execution_id,
        "step_run_id": run.id,
        "path": run.path,
        "attempt": claim.attempt,
        "kind": "tool",
        **fields,
    }
    return Entry(call_id=call_id, data=data, **given)


# --- the ledger and the memory --------------------------------------------------------


def test_many_calls_of_many_steps_are_one_statement() -> None:
    claims = [running() for _ in range(3)]
    calls = [
        call(claim, messages=[{"n": number}, {"n": number + 1}])
        for claim in claims
        for number in (1, 3)
    ]
    with statements() as asked:
        ledger.record(calls)
    assert len(asked) == 1
    assert Spending.objects.count() == 6
    for claim in claims:
        messages, results = exchanges.remembered(claim.run.id)
        assert [each["n"] for each in messages] == [1, 2, 3, 4]
        assert results == {}
    row = Spending.objects.order_by("id").first()
    assert row is not None
    assert (row.provider, row.model, row.cost) == (
        "openai",
        "gpt-5-mini",
        Decimal("0.5"),
    )
    assert (row.cached_tokens, row.reasoning_tokens, row.tool_calls) == (40, 5, 1)


def test_nothing_to_record_asks_nothing() -> None:
    with statements() as asked:
        ledger.record([])
        exchanges.keep([])
    assert asked == []


def test_a_call_without_messages_leaves_no_exchange() -> None:
    recorded(running())
    assert not Exchange.objects.exists()


def test_an_answer_that_comes_too_late_is_paid_for_and_not_remembered() -> None:
    claim = running()
    StepRun.objects.filter(pk=claim.run.id).update(fence=claim.fence + 1)
    recorded(claim, messages=[{"n": 1}])
    assert Spending.objects.count() == 1
    assert exchanges.remembered(claim.run.id) == ([], {})


def test_what_no_json_column_can_hold_is_kept_all_the_same() -> None:
    claim = running()
    recorded(claim, messages=[{"text": "a\0b\ud800"}])
    exchanges.keep([entry(claim, "1", {"result": "\0"})])
    messages, results = exchanges.remembered(claim.run.id)
    assert messages == [
        {"text": "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"}
    ]
    assert results == {"1": {"result": "\N{REPLACEMENT CHARACTER}"}}


def test_results_are_remembered_by_their_calls_and_the_first_counts() -> None:
    claim = running()
    entries = [
        entry(claim, "1", {"result": 1}),
        entry(claim, "2", {"result": 2}),
        entry(claim, "1", {"result": 3}),
        entry(claim, "", {"result": 4}, kind="code"),
    ]
    with statements() as asked:
        exchanges.keep(entries)
    assert len(asked) == 1
    assert exchanges.remembered(claim.run.id) == (
        [],
        {"1": {"result": 1}, "2": {"result": 2}},
    )
    assert exchanges.remembered(uuid4()) == ([], {})


def test_a_transcript_is_in_order_and_of_one_step_if_asked() -> None:
    claim = running()
    recorded(claim, messages=[{"n": 1}])
    exchanges.keep([entry(claim, "1", {}), entry(claim, "2", {}, path="b")])
    execution_id = claim.run.execution_id
    kinds = [each.kind for each in exchanges.transcript(execution_id)]
    assert kinds == ["messages", "tool", "tool"]
    assert [each.call_id for each in exchanges.transcript(execution_id, "b")] == ["2"]
    assert list(exchanges.transcript(uuid4())) == []


# --- sums -----------------------------------------------------------------------------


def child_of(claim: Claim, **fields: Any) -> Claim:
    child = launched(step("a", role()))
    above = claim.run.execution_id
    Execution.objects.filter(pk=child.pk).update(parent_execution=above, **fields)
    return claimed(now_of(child), "a")


def test_a_tree_adds_up_over_all_below() -> None:
    root = running()
    child = child_of(root)
    grandchild = child_of(child)
    for claim in (root, child, child, grandchild):
        recorded(claim)
    recorded(running())
    tree = reports.tree_of(root.run.execution_id)
    sums = reports.of_executions(tree)
    assert {id_: usage.requests for id_, usage in sums.items()} == {
        root.run.execution_id: 1,
        child.run.execution_id: 2,
        grandchild.run.execution_id: 1,
    }


def test_attempts_are_told_apart_and_lost_ones_count() -> None:
    claim = running()
    recorded(claim)
    recorded(claim, attempt=2, cost=Decimal("0.25"))
    recorded(claim, attempt=2, cost=None)
    of_step = reports.of_steps(claim.run.execution_id)[claim.run.id]
    assert {n: usage.requests for n, usage in of_step.attempts.items()} == {1: 1, 2: 2}
    assert of_step.usage.cost == Decimal("0.75")
    assert of_step.usage.unpriced_requests == 1


def test_an_unknown_price_is_unknown_and_nothing_is_nothing() -> None:
    assert Usage().shown()["cost"] == "0.000000"
    claim = running()
    recorded(claim, cost=None)
    shown = reports.of_steps(claim.run.execution_id)[claim.run.id].usage.shown()
    assert (shown["cost"], shown["unpriced_requests"]) == (None, 1)


# --- the record -----------------------------------------------------------------------


def test_an_executions_usage_is_the_ledgers_with_lost_attempts() -> None:
    claim = running()
    recorded(claim)
    recorded(claim, attempt=2)
    outcome = Outcome(
        status=DONE.status, output=1, usage={"requests": 1, "model": "gpt-5-mini"}
    )
    assert lifecycle.settle(claim, outcome)
    told = record.detail(Execution.objects.get(pk=claim.run.execution_id))
    assert told["usage"] == times(2)
    (log,) = told["step_logs"]
    assert log["usage"] == times(2) | {"model": "gpt-5-mini"}


def test_functions_own_numbers_add_up_with_the_ledgers() -> None:
    execution = launched(step("a", role()), step("b", agent()))
    first = claimed(execution, "a")
    numbers = Outcome(status=DONE.status, output=1, usage={"rows": 3, "requests": 2})
    assert lifecycle.settle(first, numbers)
    told = record.detail(now_of(execution))
    assert told["usage"] == {"rows": 3, "requests": 2}
    recorded(claimed(now_of(execution), "b"))
    told = record.detail(now_of(execution))
    assert told["usage"] == ONE | {"rows": 3, "requests": 3}
    assert told["step_logs"][0]["usage"] == {"rows": 3, "requests": 2}
    assert told["step_logs"][1]["usage"] == ONE


def test_a_step_that_failed_shows_what_it_spent() -> None:
    claim = running()
    recorded(claim)
    failed = Outcome(
        status=StepStatus.FAILED,
        error={"type": "provider", "message": "No.", "attempt": 1},
    )
    assert lifecycle.settle_and_fail(claim, failed)
    told = record.detail(Execution.objects.get(pk=claim.run.execution_id))
    assert told["usage"] == ONE


def test_what_is_done_without_usage_asks_the_ledger_nothing() -> None:
    claim = running()
    assert lifecycle.settle_and_complete(claim, DONE, {"a": 1})
    execution = Execution.objects.select_related("orchestration", "version").get(
        pk=claim.run.execution_id
    )
    with statements() as asked:
        record.detail(execution)
    assert not [sql for sql in asked if "executions_spending" in sql]


def test_functions_under_way_ask_the_ledger_nothing() -> None:
    execution = launched(step("a", role()))
    claimed(execution, "a")
    read = Execution.objects.select_related("orchestration", "version")
    with statements() as asked:
        record.detail(read.get(pk=execution.pk))
    assert not [sql for sql in asked if "executions_spending" in sql]


# --- what leaves and what stays -------------------------------------------------------


def test_what_was_said_leaves_with_its_execution_and_the_bill_stays(
    tmp_path: Path, settings: Any
) -> None:
    settings.CORE_ARCHIVE_DIR = str(tmp_path)
    claim, young = running(), running()
    execution_id = claim.run.execution_id
    own = budget("execution", execution_id)
    shared = budget(per_execution=True)
    for each in (claim, young):
        reserve(own, claim=each)
        reserve(shared, claim=each, share=each.run.execution_id)
        recorded(each, messages=[{"n": 1}])
    assert lifecycle.settle_and_complete(claim, DONE, {"a": 1})
    line = "".join(archive.line(execution_id))
    assert '"cost": "0.500000"' in line

    ended = Execution.objects.get(pk=execution_id)
    assert ended.finished_at is not None
    old = retention.Old(execution_id, ended.epoch, ended.finished_at)
    assert retention._remove([old]) == 1

    assert Exchange.objects.get().execution_id == young.run.execution_id
    assert Spending.objects.filter(execution_id=execution_id).count() == 1
    assert Budget.objects.get() == shared
    assert BudgetAccount.objects.get().execution_id == young.run.execution_id
    assert Reservation.objects.count() == 1


def test_the_reconciler_counts_what_nobody_settles() -> None:
    claim = running()
    reserve(budget(), claim=claim, seconds=-1.0)
    Reconciler().sweep()
    assert Spending.objects.get().provider == budgets.LOST
    assert recovery.settle_lost_calls() == 0


# --- REST: sums -----------------------------------------------------------------------


def test_everybody_sees_their_own_and_staff_see_all(
    api: APIClient,
    other_api: APIClient,
    staff_api: APIClient,
    anonymous: APIClient,
    user: User,
    other: User,
) -> None:
    mine, theirs = running(created_by=user), running(created_by=other)
    nobodys = running()
    for claim in (mine, theirs, theirs, nobodys):
        recorded(claim)
    assert api.get(USAGE).json() == {
        "total": ONE,
        "groups": [],
        "truncated": False,
    }
    assert other_api.get(USAGE).json()["total"] == times(2)
    assert staff_api.get(USAGE).json()["total"] == times(4)
    assert anonymous.get(USAGE).status_code == 401
    of_theirs = {"execution": str(theirs.run.execution_id)}
    assert api.get(USAGE, of_theirs).json()["total"]["requests"] == 0
    assert staff_api.get(USAGE, of_theirs).json()["total"] == times(2)


def test_groups_have_what_they_are_grouped_by(api: APIClient, user: User) -> None:
    key = user.api_keys.get()
    claim = running(created_by=user, api_key_id=key.pk)
    recorded(claim)
    yesterday = recorded(claim, model="gpt-5", cost=None)
    Spending.objects.filter(call_id=yesterday.call_id).update(
        at=timezone.now() - timedelta(days=1)
    )
    groups = api.get(USAGE, {"group_by": "day,role"}).json()["groups"]
    today = timezone.now().date()
    assert [each["day"] for each in groups] == [
        str(today - timedelta(days=1)),
        str(today),
    ]
    assert {each["role_name"] for each in groups} == {claim.run.role_name}
    assert groups[0]["usage"] == ONE | {"cost": None, "unpriced_requests": 1}
    assert groups[1]["usage"] == ONE

    (one,) = api.get(USAGE, {"group_by": ["orchestration", "api_key", "user"]}).json()[
        "groups"
    ]
    execution = Execution.objects.get(pk=claim.run.execution_id)
    assert one == {
        "orchestration_id": str(execution.orchestration_id),
        "orchestration_name": execution.orchestration.name,
        "api_key_id": str(key.pk),
        "api_key_name": "test",
        "user_id": user.pk,
        "user_name": "ada",
        "usage": times(2) | {"cost": "0.500000", "unpriced_requests": 1},
    }
    models = api.get(USAGE, {"group_by": "model"}).json()["groups"]
    assert [each["model"] for each in models] == ["gpt-5", "gpt-5-mini"]


def test_times_and_trees_narrow(api: APIClient, user: User) -> None:
    root = running(created_by=user)
    child = child_of(root, created_by=user)
    for claim in (root, child, running(created_by=user)):
        recorded(claim)
    one = {"execution": str(root.run.execution_id)}

    def requests(**asked: Any) -> int:
        found: int = api.get(USAGE, asked).json()["total"]["requests"]
        return found

    now = timezone.now()
    assert requests() == 3
    assert requests(**one) == 1
    assert requests(**one, tree="true") == 2
    assert requests(after=(now + timedelta(hours=1)).isoformat()) == 0
    assert requests(before=(now - timedelta(hours=1)).isoformat()) == 0
    assert requests(after=(now - timedelta(hours=1)).isoformat()) == 3
    assert requests(orchestration=str(uuid4())) == 0
    assert requests(model="gpt-5-mini") == 3


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"group_by": "week"}, "/group_by"),
        ({"after": "yesterday"}, "/after"),
        ({"tree": "perhaps"}, "/tree"),
        ({"execution": "x"}, "/execution"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    api: APIClient, asked: dict[str, str], field: str
) -> None:
    response = api.get(USAGE, asked)
    assert response.status_code == 400
    (pointer,) = errors_of(response)
    assert pointer.startswith(field)


def test_more_groups_than_are_shown_are_said_to_be_there(
    staff_api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_GROUPS", 2)
    for _ in range(3):
        recorded(running())
    body = staff_api.get(USAGE, {"group_by": "execution"}).json()
    assert (len(body["groups"]), body["truncated"]) == (2, True)
    assert body["total"]["requests"] == 3


def test_an_executions_usage_is_by_steps_and_attempts(
    api: APIClient, other_api: APIClient, user: User
) -> None:
    root = running(created_by=user)
    child = child_of(root, created_by=user)
    recorded(root)
    recorded(root, attempt=2, cost=None)
    recorded(child)
    url = f"/api/v1/executions/{root.run.execution_id}/usage/"
    body = api.get(url).json()
    assert body["own"] == times(2) | {"cost": "0.500000", "unpriced_requests": 1}
    assert body["tree"]["requests"] == 3
    assert body["tree"]["cost"] == "1.000000"
    (of_step,) = body["steps"]
    assert (of_step["path"], of_step["usage"]["requests"]) == ("a", 2)
    assert [each["attempt"] for each in of_step["attempts"]] == [1, 2]
    assert of_step["attempts"][0]["usage"] == ONE
    assert {each["execution_id"] for each in body["executions"]} == {
        str(root.run.execution_id),
        str(child.run.execution_id),
    }
    assert other_api.get(url).status_code == 404
    assert api.get(f"/api/v1/executions/{uuid4()}/usage/").status_code == 404


@pytest.mark.parametrize("many", [1, 8])
def test_sums_cost_the_same_however_much_there_is(
    api: APIClient, user: User, many: int
) -> None:
    key = user.api_keys.get()
    root = running(created_by=user, api_key_id=key.pk)
    for _ in range(many):
        recorded(child_of(root, created_by=user))
        recorded(root, step_run_id=uuid4())
    api.get(USAGE)  # the key's use is noted once a minute
    with statements() as asked:
        api.get(USAGE, {"group_by": "execution,orchestration,user,api_key,model"})
    assert len(asked) == 6, asked  # the key, the groups, three times names, the total
    with statements() as asked:
        api.get(f"/api/v1/executions/{root.run.execution_id}/usage/")
    assert len(asked) == 5, asked  # the key, the execution, its steps, the tree, sums


def test_a_run_keeps_its_usage_while_it_waits() -> None:
    claim = running()
    recorded(claim)
    execution = Execution.objects.get(pk=claim.run.execution_id)
    assert run_at(execution, "a").status == "running"
    assert record.detail(execution)["usage"] == ONE
