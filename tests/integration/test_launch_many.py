"""Launching many at once: all or none, recorded in one statement, sent together."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import redis
from celery import current_app
from django.contrib.auth.models import User
from django.db import DataError, connection, transaction
from django.utils import timezone

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions import recovery
from executions.launch import InvalidInput, NotRunnable, launch_many
from executions.models import Event, Execution
from executions.signatures import RUN_STEP, RUN_STEPS
from roles.models import Role, RoleSnapshot
from tests.integration.engine import (
    age,
    at_once,
    deliver_all,
    group,
    messages,
    now_of,
    orchestration,
    role,
    step,
    told,
)
from tests.integration.statements import statements

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer"}},
}


@pytest.fixture
def one_step() -> Orchestration:
    return orchestration(step("a", role()), output="{{ output }}")


@pytest.fixture
def strict() -> Orchestration:
    return orchestration(step("a", role()), input_schema=SCHEMA)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def nothing_happened(broker: redis.Redis) -> bool:
    recorded = Execution.objects.exists() or Event.objects.exists()
    return not recorded and messages(broker) == []


# --- recorded and sent --------------------------------------------------------------


def test_each_input_gets_an_execution_and_a_first_message_in_their_order(
    one_step: Orchestration, ada: User, broker: redis.Redis
) -> None:
    inputs = [{"n": n} for n in range(5)]

    made = launch_many(one_step, inputs, by=ada)

    assert [now_of(one).input for one in made] == inputs
    for one in made:
        now = now_of(one)
        assert (now.status, now.epoch, now.cursor) == ("pending", 1, 0)
        assert (now.created_by_id, now.version_id) == (ada.pk, one_step.published_id)
        assert (now.idempotency_key, now.origin, now.deadline_at) == (None, None, None)
        assert (now.created_at, now.dispatched_at) == (
            one.created_at,
            one.dispatched_at,
        )
        assert told(one) == ["execution.created"]
    sent = [message.kwargs["execution"] for message in messages(broker)]
    assert sent == [str(one.pk) for one in made]


def test_all_of_them_complete(one_step: Orchestration, broker: redis.Redis) -> None:
    made = launch_many(one_step, list(range(7)))

    deliver_all(broker)

    assert [now_of(one).output for one in made] == list(range(7))
    assert {now_of(one).status for one in made} == {"completed"}


@pytest.mark.parametrize("limit", [{}, {"queue_timeout_ms": 60_000}])
def test_a_hundred_take_no_more_statements_than_one(limit: dict[str, Any]) -> None:
    one_step = orchestration(step("a", role(), **limit))
    launch_many(one_step, [{}])

    with statements() as for_one:
        launch_many(one_step, [{}])
    with statements() as for_many:
        launch_many(one_step, [{}] * 100)

    assert len(for_many) == len(for_one)
    inserts = [sql for sql in for_many if "INSERT INTO executions_execution" in sql]
    assert len(inserts) == 1


def test_they_share_their_version_and_their_roles(one_step: Orchestration) -> None:
    made = launch_many(one_step, [{}, {}, {}])

    assert len({str(now_of(one).role_pins) for one in made}) == 1
    assert RoleSnapshot.objects.count() == 1


def test_none_for_no_inputs(one_step: Orchestration, broker: redis.Redis) -> None:
    assert launch_many(one_step, []) == []

    assert nothing_happened(broker)


def test_equal_inputs_are_executions_of_their_own(one_step: Orchestration) -> None:
    made = launch_many(one_step, [{"n": 1}] * 3)

    assert len({one.pk for one in made}) == Execution.objects.count() == 3


@pytest.mark.parametrize("given", [None, [], "text", 0, False, {"x": None}])
def test_without_a_schema_any_json_is_an_input(
    one_step: Orchestration, given: Any
) -> None:
    (first, second) = launch_many(one_step, [given, {}])

    assert (now_of(first).input, now_of(second).input) == (given, {})


def test_a_time_limit_sets_each_deadline_and_alarm() -> None:
    made = launch_many(orchestration(step("a", role()), timeout_ms=90_000), [{}, {}])

    for one in made:
        now = now_of(one)
        assert now.deadline_at
        assert now.wake_at
        assert (now.deadline_at - now.created_at).total_seconds() == pytest.approx(
            90, 0.01
        )
        assert now.wake_at >= now.deadline_at


def test_a_first_group_is_sent_for_each(broker: redis.Redis) -> None:
    made = launch_many(orchestration(*group("a", "b", of=role())), [{}, {}])

    sent = [(m.kwargs["execution"], m.place) for m in messages(broker)]
    assert sent == [(str(one.pk), key) for one in made for key in ("a", "b")]
    deliver_all(broker)
    assert {now_of(one).status for one in made} == {"completed"}


def test_a_first_group_of_many_travels_in_batches(broker: redis.Redis) -> None:
    members = group(*(f"m{n}" for n in range(16)), of=role())

    made = launch_many(orchestration(*members), [{}, {}])

    sent = messages(broker)
    assert {message.task for message in sent} == {RUN_STEPS}
    assert {m.kwargs["execution"] for m in sent} == {str(one.pk) for one in made}


def test_a_limited_wait_for_a_worker_sets_each_alarm() -> None:
    limited = step("a", role(), queue_timeout_ms=5000)

    made = launch_many(orchestration(limited), [{}, {}])

    assert all(now_of(one).wake_at for one in made)


def test_no_message_carries_an_input(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    launch_many(one_step, [{"text": "canary"}] * 2)

    assert "canary" not in repr(messages(broker))


def test_nothing_is_sent_before_the_commit(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    with transaction.atomic():
        launch_many(one_step, [{}, {}])
        assert messages(broker) == []

    assert [message.task for message in messages(broker)] == [RUN_STEP] * 2


def test_what_is_rolled_back_is_not_sent(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    with transaction.atomic():
        launch_many(one_step, [{}, {}])
        transaction.set_rollback(True)

    assert nothing_happened(broker)


# --- without a broker ---------------------------------------------------------------


@pytest.mark.usefixtures("broker_away")
def test_without_a_broker_nothing_is_lost(
    one_step: Orchestration, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = launch_many(one_step, [{"n": n} for n in range(3)])
    assert {now_of(one).status for one in made} == {"pending"}
    assert messages(broker) == []
    monkeypatch.undo()

    for one in made:
        age(one, 60)
    assert recovery.resend_lost(broker) == 3

    assert {m.kwargs["execution"] for m in messages(broker)} == {
        str(one.pk) for one in made
    }


def test_a_broker_that_takes_no_messages_keeps_nobody_from_launching(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    broker.config_set("min-replicas-to-write", "1")
    try:
        made = launch_many(one_step, [{}, {}])
    finally:
        broker.config_set("min-replicas-to-write", "0")

    assert {now_of(one).status for one in made} == {"pending"}
    assert messages(broker) == []


def test_a_broker_that_goes_in_the_middle_loses_none_of_the_rest(
    one_step: Orchestration, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that stops taking messages after the first
    sends = current_app.amqp.send_task_message

    def send_and_shut(*args: Any, **options: Any) -> Any:
        sent = sends(*args, **options)
        broker.config_set("min-replicas-to-write", "1")
        return sent

    with monkeypatch.context() as patch:
        patch.setattr(current_app.amqp, "send_task_message", send_and_shut)
        try:
            made = launch_many(one_step, [{"n": n} for n in range(3)])
        finally:
            broker.config_set("min-replicas-to-write", "0")
    assert len(messages(broker)) == 1

    # When the reconciler looks, and everything is delivered
    deliver_all(broker)
    for one in made:
        age(one, 60)
    recovery.resend_lost(broker)
    deliver_all(broker)

    assert {now_of(one).status for one in made} == {"completed"}


# --- refused: all or none -----------------------------------------------------------


def test_one_input_that_does_not_fit_refuses_all_with_its_place(
    strict: Orchestration, broker: redis.Redis
) -> None:
    with pytest.raises(InvalidInput) as refused:
        launch_many(strict, [{"n": 1}, {"n": "one"}, {"n": 3}])

    assert [p.pointer for p in refused.value.problems] == ["/inputs/1/n"]
    assert nothing_happened(broker)


def test_every_problem_of_every_input_is_told(
    strict: Orchestration, broker: redis.Redis
) -> None:
    with pytest.raises(InvalidInput) as refused:
        launch_many(strict, [{"n": "one"}, {"n": 2}, {}, [], {"n": float("nan")}])

    assert [p.pointer for p in refused.value.problems] == [
        "/inputs/0/n",
        "/inputs/2",
        "/inputs/3",
        "/inputs/4/n",
    ]
    assert nothing_happened(broker)


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", float("nan"), float("inf")])
def test_an_input_that_cannot_be_stored_refuses_all_with_its_place(
    one_step: Orchestration, broker: redis.Redis, bad: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        launch_many(one_step, [{}, {"deep": [bad]}])

    assert [p.pointer for p in refused.value.problems] == ["/inputs/1/deep/0"]
    assert nothing_happened(broker)


def test_a_key_of_the_input_that_is_named_input_keeps_its_name(
    broker: redis.Redis,
) -> None:
    schema = {"properties": {"input": {"properties": {"input": {"type": "integer"}}}}}
    made = orchestration(step("a", role()), input_schema=schema)

    with pytest.raises(InvalidInput) as refused:
        launch_many(made, [{}, {"input": {"input": "x"}}])

    assert [p.pointer for p in refused.value.problems] == ["/inputs/1/input/input"]


def test_an_input_that_only_the_database_refuses_leaves_nothing(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'not this one' USING ERRCODE = '22P05'; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON executions_execution FOR EACH ROW "
            "WHEN (NEW.input ? 'bad') EXECUTE FUNCTION refuse()"
        )
    try:
        with pytest.raises(DataError):
            launch_many(one_step, [{}, {"bad": 1}, {}])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse() CASCADE")

    assert nothing_happened(broker)


@pytest.mark.parametrize("inputs", [[], [{}], [{}, {}]])
@pytest.mark.parametrize("why", ["not active", "archived", "no published version"])
def test_what_cannot_be_started_once_cannot_be_started_often(
    broker: redis.Redis, why: str, inputs: list[Any]
) -> None:
    document = {"name": "One", "steps": [step("a", role())]}
    made = drafts.save(document, publish="version" not in why)
    if why == "not active":
        made.is_active = False
    elif why == "archived":
        drafts.archive(made, timezone.now())
        made.refresh_from_db()

    with pytest.raises(NotRunnable, match=why):
        launch_many(made, inputs)

    assert nothing_happened(broker)


def test_a_role_that_is_switched_off_is_named(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    name = Role.objects.get().name
    Role.objects.update(is_active=False)

    with pytest.raises(NotRunnable, match=f"The role '{name}' is not active"):
        launch_many(one_step, [{}, {}])

    assert nothing_happened(broker)


# --- at once ------------------------------------------------------------------------


def test_many_who_launch_many_at_once_get_all_of_theirs(
    one_step: Orchestration, broker: redis.Redis
) -> None:
    results = at_once(*(partial(launch_many, one_step, [n] * 5) for n in range(6)))

    lists = [result for result in results if isinstance(result, list)]
    assert len(lists) == 6
    assert [{now_of(one).input for one in made} for made in lists] == [
        {n} for n in range(6)
    ]
    assert len(messages(broker)) == 30
    assert RoleSnapshot.objects.count() == 1
