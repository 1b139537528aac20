"""Launching: recorded before it is sent, refused before it is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions.launch import IdempotencyConflict, InvalidInput, NotRunnable, launch
from executions.models import Event, Execution
from executions.signatures import JOIN, RUN_STEP
from roles.models import Role
from tests.integration.engine import (
    at_once,
    chain,
    group,
    launched,
    messages,
    now_of,
    orchestration,
    role,
    step,
    told,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def one_step() -> Orchestration:
    return orchestration(step("a", role()))


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def nothing_happened(broker: redis.Redis) -> bool:
    recorded = Execution.objects.exists() or Event.objects.exists()
    return not recorded and messages(broker) == []


# --- recorded and sent --------------------------------------------------------------


def test_an_execution_is_recorded_and_its_first_message_sent(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")

    now = now_of(execution)
    assert (now.status, now.epoch, now.cursor) == ("pending", 1, 0)
    assert (now.deadline_at, now.wake_at, now.error) == (None, None, None)
    assert told(execution) == ["execution.created"]
    (message,) = messages(broker)
    assert (message.queue, message.task) == ("cpu", RUN_STEP)
    assert message.kwargs == {
        "execution": str(execution.pk),
        "version": str(execution.version_id),
        "epoch": 1,
        "path": "a",
    }
    assert [link["kwargs"]["path"] for link in message.chain] == ["b"]


def test_a_first_group_is_sent_as_one_message_each(broker: redis.Redis) -> None:
    launched(*group("a", "b", "c", of=role()))

    sent = messages(broker)
    assert [message.place for message in sent] == ["a", "b", "c"]
    assert all(m.chord is not None and m.chord["task"] == JOIN for m in sent)


def test_each_pool_has_its_queue(broker: redis.Redis) -> None:
    launched(
        step("quick", role(), parallel_group="g"),
        step("wait", role("time.delay"), parallel_group="g"),
    )

    assert {m.place: m.queue for m in messages(broker)} == {
        "quick": "cpu",
        "wait": "io",
    }


def test_no_message_carries_the_input(broker: redis.Redis) -> None:
    same = role(config={"arguments": {"key": "canary"}})
    launched(step("a", same), step("b", same), given={"text": "canary"})

    assert all(b"canary" not in raw for raw in broker.lrange("cpu", 0, -1))
    assert "canary" not in repr(messages(broker))


def test_a_time_limit_sets_the_deadline_and_the_alarm() -> None:
    execution = chain("a", timeout_ms=90_000)

    now = now_of(execution)
    assert now.deadline_at is not None
    assert now.wake_at is not None
    assert (now.deadline_at - now.created_at).total_seconds() == pytest.approx(90, 0.01)
    assert now.wake_at >= now.deadline_at


def test_nothing_is_sent_before_the_commit(broker: redis.Redis) -> None:
    with transaction.atomic():
        chain("a")
        assert messages(broker) == []

    assert len(messages(broker)) == 1


def test_what_is_rolled_back_is_not_sent(broker: redis.Redis) -> None:
    with transaction.atomic():
        chain("a")
        transaction.set_rollback(True)

    assert nothing_happened(broker)


def test_an_execution_keeps_its_version_whatever_is_edited(
    one_step: Orchestration,
) -> None:
    before = launch(one_step, {})

    document = drafts.document_of(one_step)
    drafts.save({**document, "output": "new"}, orchestration=one_step)
    after = launch(Orchestration.objects.get(pk=one_step.pk), {})

    assert now_of(before).version_id == before.version_id
    assert before.version_id != after.version_id


def test_an_execution_keeps_its_roles_whatever_is_edited(
    one_step: Orchestration,
) -> None:
    before = launch(one_step, {})

    Role.objects.update(base_prompt="new")
    after = launch(one_step, {})

    assert before.role_pins != after.role_pins
    assert now_of(before).role_pins == before.role_pins


def test_messages_say_when_they_were_published_whoever_publishes(
    broker: redis.Redis,
) -> None:
    # What is provably lost follows from it; the web process loads no task.
    code = (
        "import django; django.setup()\n"
        "from executions.signatures import Address, advance\n"
        "address = Address(execution='e', version='v', epoch=1)\n"
        "advance(address, 1).apply_async()\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    root = Path(__file__).parents[2]
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], env=env, cwd=root, check=True
    )

    (message,) = messages(broker)
    assert message.headers.get("published_at") is not None


# --- without a broker -----------------------------------------------------------------


@pytest.mark.usefixtures("broker_away")
def test_without_a_broker_an_execution_is_recorded_all_the_same(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")

    assert now_of(execution).status == "pending"
    assert messages(broker) == []


@pytest.mark.usefixtures("broker_away")
def test_without_a_broker_a_group_is_recorded_all_the_same(
    broker: redis.Redis,
) -> None:
    execution = launched(*group("a", "b", of=role()))

    assert now_of(execution).status == "pending"


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")],
)
def test_a_broker_that_takes_no_messages_keeps_nobody_from_launching(
    broker: redis.Redis, setting: str, bad: str, good: str
) -> None:
    broker.config_set(setting, bad)
    try:
        execution = chain("a", "b")
    finally:
        broker.config_set(setting, good)

    assert now_of(execution).status == "pending"
    assert messages(broker) == []


# --- refused ---------------------------------------------------------------------------


def test_an_inactive_orchestration_is_refused(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    one_step.is_active = False

    with pytest.raises(NotRunnable, match="is not active"):
        launch(one_step, {})

    assert nothing_happened(broker)


def test_an_archived_orchestration_is_refused(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    drafts.archive(one_step, timezone.now())

    with pytest.raises(NotRunnable, match="is archived"):
        launch(Orchestration.objects.get(pk=one_step.pk), {})

    assert nothing_happened(broker)


def test_an_orchestration_that_was_never_published_is_refused(
    broker: redis.Redis,
) -> None:
    draft = drafts.save({"name": "Draft", "steps": [step("a", role())]}, publish=False)

    with pytest.raises(NotRunnable, match="no published version"):
        launch(draft, {})

    assert nothing_happened(broker)


def test_a_role_that_is_gone_is_named(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    name = Role.objects.get().name
    Role.objects.all().delete()

    with pytest.raises(NotRunnable, match=f"no role with the name '{name}'"):
        launch(one_step, {})

    assert nothing_happened(broker)


def test_a_role_that_is_switched_off_is_named(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    name = Role.objects.get().name
    Role.objects.update(is_active=False)

    with pytest.raises(NotRunnable, match=f"The role '{name}' is not active"):
        launch(one_step, {})

    assert nothing_happened(broker)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [({}, "/input"), ({"n": "one"}, "/input/n"), ([], "/input"), (None, "/input")],
)
def test_an_input_that_does_not_fit_the_schema_is_refused_with_its_place(
    broker: redis.Redis, given: Any, pointer: str
) -> None:
    schema = {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}},
    }
    made = orchestration(step("a", role()), input_schema=schema)

    with pytest.raises(InvalidInput) as refused:
        launch(made, given)

    assert {problem.pointer for problem in refused.value.problems} == {pointer}
    assert nothing_happened(broker)


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", float("nan"), float("inf")])
def test_an_input_that_cannot_be_stored_is_refused_with_its_place(
    one_step: Orchestration, broker: redis.Redis, bad: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        launch(one_step, {"deep": [bad]})

    assert [p.pointer for p in refused.value.problems] == ["/input/deep/0"]
    assert nothing_happened(broker)


@pytest.mark.parametrize("given", [None, [], "text", 0, False, {"x": None}])
def test_without_a_schema_any_json_is_an_input(
    one_step: Orchestration, given: Any
) -> None:
    assert now_of(launch(one_step, given)).input == given


# --- once per key ------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_execution(
    one_step: Orchestration, ada: User, broker: redis.Redis
) -> None:
    first = launch(one_step, {"x": 1}, by=ada, idempotency_key="k")
    again = launch(one_step, {"x": 1}, by=ada, idempotency_key="k")

    assert (again.pk, again.is_replay, first.is_replay) == (first.pk, True, False)
    assert len(messages(broker)) == 1
    assert told(first) == ["execution.created"]


def test_a_request_is_repeated_whatever_became_of_the_first(
    one_step: Orchestration, ada: User
) -> None:
    first = launch(one_step, {}, by=ada, idempotency_key="k")
    drafts.save(
        {**drafts.document_of(one_step), "output": "new"}, orchestration=one_step
    )

    again = launch(
        Orchestration.objects.get(pk=one_step.pk), {}, by=ada, idempotency_key="k"
    )

    assert (again.pk, again.version_id) == (first.pk, first.version_id)


@pytest.mark.parametrize("change", ["archived", "inactive", "without its role"])
def test_a_request_is_repeated_although_a_new_one_would_be_refused(
    one_step: Orchestration, ada: User, change: str
) -> None:
    first = launch(one_step, {}, by=ada, idempotency_key="k")
    if change == "archived":
        drafts.archive(one_step, timezone.now())
    elif change == "inactive":
        Orchestration.objects.update(is_active=False)
    else:
        Role.objects.update(is_active=False)
    now = Orchestration.objects.get(pk=one_step.pk)

    with pytest.raises(NotRunnable):
        launch(now, {}, by=ada, idempotency_key="another")
    again = launch(now, {}, by=ada, idempotency_key="k")

    assert (again.pk, again.is_replay) == (first.pk, True)


def test_a_key_with_another_input_is_a_conflict(
    one_step: Orchestration, ada: User
) -> None:
    first = launch(one_step, {"x": 1}, by=ada, idempotency_key="k")

    with pytest.raises(IdempotencyConflict, match=str(first.pk)):
        launch(one_step, {"x": 2}, by=ada, idempotency_key="k")

    assert Execution.objects.count() == 1


@pytest.mark.parametrize(
    ("first", "second"), [({"x": 1}, {"x": True}), ({"x": 0}, {"x": False})]
)
def test_one_and_true_are_two_inputs(
    one_step: Orchestration, ada: User, first: Any, second: Any
) -> None:
    launch(one_step, first, by=ada, idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        launch(one_step, second, by=ada, idempotency_key="k")


@pytest.mark.parametrize("number", [1e22, -0.0, 100.0, 1e-7, 10**30])
def test_a_number_that_the_database_spells_otherwise_is_the_same_input(
    one_step: Orchestration, ada: User, number: float
) -> None:
    first = launch(one_step, {"x": number}, by=ada, idempotency_key="k")
    again = launch(one_step, {"x": number}, by=ada, idempotency_key="k")

    assert again.pk == first.pk


def test_a_key_with_another_orchestration_is_a_conflict(
    one_step: Orchestration, ada: User
) -> None:
    launch(one_step, {}, by=ada, idempotency_key="k")

    with pytest.raises(IdempotencyConflict, match="choose a new key"):
        launch(orchestration(step("a", role())), {}, by=ada, idempotency_key="k")


def test_two_users_may_use_one_key(one_step: Orchestration, ada: User) -> None:
    bob = User.objects.create_user("bob")

    executions = {
        launch(one_step, {}, by=by, idempotency_key="k").pk for by in (ada, bob)
    }

    assert len(executions) == 2


def test_without_a_key_every_request_is_a_new_one(
    one_step: Orchestration, ada: User
) -> None:
    assert len({launch(one_step, {}, by=ada).pk for _ in range(3)}) == 3


def test_many_requests_with_one_key_at_once_make_one_execution(
    one_step: Orchestration, ada: User, broker: redis.Redis
) -> None:
    key = str(uuid4())
    request = partial(launch, one_step, {"x": 1}, by=ada, idempotency_key=key)

    came = at_once(*[request] * 12)

    executions = [one for one in came if isinstance(one, Execution)]
    assert len(executions) == 12
    assert len({one.pk for one in executions}) == 1
    assert [one.is_replay for one in executions].count(False) == 1
    assert len(messages(broker)) == 1
    assert Event.objects.count() == 1


def test_many_first_executions_at_once_pin_one_snapshot(
    one_step: Orchestration,
) -> None:
    came = at_once(*[partial(launch, one_step, {})] * 8)

    pins = [str(one.role_pins) for one in came if isinstance(one, Execution)]
    assert (len(pins), len(set(pins))) == (8, 1)
