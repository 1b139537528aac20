"""Forks and reruns: as if the new execution had come so far itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db.models.functions import Now

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions import control, copies, lifecycle, recovery
from executions.copies import NotCopyable
from executions.launch import IdempotencyConflict, InvalidInput, NotRunnable, launch
from executions.models import Execution
from roles.models import Role
from tests.integration.asking import (
    error_of,
    lost,
    outputs,
    seconds_until,
    statuses,
)
from tests.integration.engine import (
    DONE,
    FAILED,
    QUEUES,
    age,
    at_once,
    chain,
    claimed,
    deliver_all,
    finish,
    group,
    launched,
    messages,
    now_of,
    orchestration,
    role,
    run_at,
    step,
    told,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

NEVER = {"field": "context.input.absent", "operator": "exists"}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def fork(execution: Execution, from_step: str, **fields: Any) -> Execution:
    fields = {"by": None, **fields}
    return copies.fork(now_of(execution), from_step=from_step, **fields)


def rerun(execution: Execution, **fields: Any) -> Execution:
    return copies.rerun(now_of(execution), **{"by": None, **fields})


def places(broker: redis.Redis) -> list[str | int]:
    return [message.place for message in messages(broker)]


def done(broker: redis.Redis, execution: Execution) -> Execution:
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    return now_of(execution)


def attempts(execution: Execution) -> dict[str, int]:
    return dict(execution.step_runs.values_list("path", "attempt"))


def revised(execution: Execution, *steps: dict[str, Any], **fields: Any) -> int:
    """Publish another version of an execution's orchestration, and name it."""
    made = Orchestration.objects.get(pk=execution.orchestration_id)
    document = {"name": made.name, "steps": list(steps), **fields}
    saved = drafts.save(document, orchestration=made)
    assert saved.published is not None
    return saved.published.number


# --- from where ------------------------------------------------------------------------


@pytest.mark.parametrize(("from_step", "copied"), [("a", ""), ("b", "a"), ("c", "ab")])
def test_what_comes_before_is_copied_and_the_rest_runs(
    broker: redis.Redis, from_step: str, copied: str
) -> None:
    source = done(broker, chain("a", "b", "c", given={"x": 1}))

    made = fork(source, from_step)

    assert (made.status, now_of(made).input) == ("pending", {"x": 1})
    assert statuses(made) == dict.fromkeys(copied, "completed")
    assert places(broker) == [from_step]
    done(broker, made)
    assert attempts(made) == {key: 0 if key in copied else 1 for key in "abc"}
    assert outputs(made) == outputs(source)
    assert told(made)[: 1 + len(copied)] == [
        "execution.created",
        *(f"step.copied {key}" for key in copied),
    ]


def test_where_it_comes_from_is_kept(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b"))

    made = now_of(fork(source, "b"))

    assert made.origin == {
        "kind": "fork",
        "execution_id": str(source.pk),
        "from_step": "b",
    }
    assert (made.version_id, made.epoch, made.cursor) == (source.version_id, 1, 1)
    assert made.events.earliest("id").data == made.origin


def test_the_source_stays_as_it_is(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b"))
    events, rows = told(source), list(source.step_runs.values())

    done(broker, fork(source, "b"))

    assert (told(source), list(source.step_runs.values())) == (events, rows)


def test_of_its_group_a_member_and_what_is_unfinished_run(broker: redis.Redis) -> None:
    same = role()
    source = launched(
        step("before", same), *group("a", "b", "c", of=same), step("after", same)
    )
    finish(source, "before")
    lifecycle.advance(source.pk, epoch=1, block=1)
    finish(source, "a", "b")
    broker.delete(*QUEUES)

    made = fork(source, "a")

    assert statuses(made) == {"before": "completed", "b": "completed"}
    assert sorted(map(str, places(broker))) == ["a", "c"]
    done(broker, made)
    assert attempts(made) == {"before": 0, "a": 1, "b": 0, "c": 1, "after": 1}
    assert set(outputs(made)["after"]) == {"a", "b", "c"}


def test_of_a_first_group_only_what_is_left_is_sent(broker: redis.Redis) -> None:
    same = role()
    source = done(
        broker, launched(*group("a", "b", "c", of=same), output="{{ output }}")
    )

    made = fork(source, "b")

    assert places(broker) == ["b"]
    assert done(broker, made).output == source.output
    assert attempts(made) == {"a": 0, "b": 1, "c": 0}


def test_a_long_chain_is_forked_in_the_middle(broker: redis.Redis) -> None:
    source = done(broker, chain(*(f"s{n}" for n in range(60))))

    made = done(broker, fork(source, "s41"))

    assert [path for path, n in attempts(made).items() if n] == [
        f"s{n}" for n in range(41, 60)
    ]


def test_a_fork_of_a_fork_is_one_too(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b", "c", given={"x": 1}))
    first = done(broker, fork(source, "b"))

    second = fork(first, "c", input={"x": 2})

    assert attempts(second) == {"a": 0, "b": 0}
    done(broker, second)
    assert outputs(second) == {key: {"x": 1} for key in "abc"}
    assert now_of(second).origin is not None
    assert now_of(second).input == {"x": 2}


@pytest.mark.parametrize("state", ["running", "paused", "failed", "needs attention"])
def test_an_execution_is_forked_whatever_its_state(
    broker: redis.Redis, state: str
) -> None:
    same = role()
    source = launched(
        step("a", same), step("b", same, at_most_once=True), step("c", same)
    )
    finish(source, "a")
    if state == "needs attention":
        lost(source, "b")
        recovery.free_lost_steps()
    else:
        claim = claimed(source, "b", by=worker())
    if state == "paused":
        control.pause(source.pk, by=None)
    if state == "failed":
        lifecycle.settle_and_fail(claim, FAILED)
    broker.delete(*QUEUES)
    before = told(source)

    made = fork(source, "b")

    assert statuses(made) == {"a": "completed"}
    done(broker, made)
    assert told(source) == before


# --- from where it cannot be -------------------------------------------------------------


def _not_begun(source: Execution) -> None:
    pass


def _running(source: Execution) -> None:
    claimed(source, "b", by=worker())


def _retrying(source: Execution) -> None:
    claim = claimed(source, "b")
    lifecycle.schedule_retry(claim, FAILED, delay_s=60, timer=True)


def _failed(source: Execution) -> None:
    lifecycle.settle_and_fail(claimed(source, "b"), FAILED)


def _cancelled(source: Execution) -> None:
    claimed(source, "b", by=worker())
    control.terminate(source.pk, by=None)


@pytest.mark.parametrize(
    ("bring", "words"),
    [
        (_not_begun, "is not begun"),
        (_running, "is running"),
        (_retrying, "is retrying"),
        (_failed, "is failed"),
        (_cancelled, "is cancelled"),
    ],
)
def test_a_step_before_it_that_is_not_finished_is_named(bring: Any, words: str) -> None:
    source = chain("a", "b", "c")
    finish(source, "a")
    bring(source)

    with pytest.raises(NotCopyable, match=f"'b' comes before 'c' and {words}"):
        fork(source, "c")

    assert Execution.objects.count() == 1


def test_a_step_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(NotCopyable, match=r"no step 'zzz'; there are: a, b\."):
        fork(chain("a", "b"), "zzz")


def test_a_version_that_there_is_not_is_refused(broker: redis.Redis) -> None:
    source = done(broker, chain("a"))

    for copy in (partial(fork, source, "a"), partial(rerun, source)):
        with pytest.raises(NotCopyable, match="no version 7"):
            copy(version=7)


# --- what later templates see ----------------------------------------------------------------


def test_outputs_exports_and_errors_are_seen_as_in_the_source(
    broker: redis.Redis,
) -> None:
    same = role()
    everything = {
        "a": "{{ context.a }}",
        "n": "{{ context.n }}",
        "bad": "{{ context.bad }}",
        "why": "{{ context.errors.bad.type }}",
        "all": "{{ context.errors }}",
        "skipped": "{{ context.skipped }}",
        "members": "{{ output }}",
        "input": "{{ context.input.x }}",
    }
    source = done(
        broker,
        launched(
            step("a", same, output_mapping={"n": "{{ output.x }}"}),
            step("bad", role("util.fail"), on_error="continue"),
            step("skipped", same, condition=NEVER),
            step("g1", same, parallel_group="g", input_mapping=1),
            step("g2", role("util.fail"), parallel_group="g", on_error="continue"),
            step("see", same, input_mapping=everything),
            output={"see": "{{ context.see }}", "last": "{{ output }}"},
            given={"x": 1},
        ),
    )

    for from_step in ("see", "g1", "skipped"):
        made = done(broker, fork(source, from_step))

        assert outputs(made)["see"] == outputs(source)["see"]
        assert made.output == source.output
        assert statuses(made) == statuses(source)


def test_output_after_a_skipped_step_is_the_one_before_it(broker: redis.Redis) -> None:
    same = role()
    source = done(
        broker,
        launched(
            step("a", same, input_mapping="kept"),
            step("b", same, condition=NEVER),
            *group("c", "d", of=same, condition=NEVER),
            step("e", same),
        ),
    )

    made = done(broker, fork(source, "e"))

    assert outputs(made)["e"] == "kept"


def test_without_anything_that_ran_output_is_the_new_input(broker: redis.Redis) -> None:
    same = role()
    source = done(
        broker,
        launched(step("a", same, condition=NEVER), step("b", same), given={"x": 1}),
    )

    made = done(broker, fork(source, "b", input={"x": 2}))

    assert outputs(made) == {"a": None, "b": {"x": 2}}


def test_roles_are_those_of_now_for_what_runs(broker: redis.Redis) -> None:
    name = role("math.add")
    source = launched(step("a", role(), input_mapping={"a": 1}), step("b", name))
    deliver_all(broker)
    assert now_of(source).status == "failed"
    mended = {"function": "util.identity"}
    Role.objects.filter(name=name).update(config=mended)

    made = done(broker, fork(source, "b"))

    assert outputs(made)["b"] == {"a": 1}
    assert run_at(made, "a").role_name == run_at(source, "a").role_name


def test_attempts_and_usage_stay_with_the_source(broker: redis.Redis) -> None:
    source = chain("a", "b")
    outcome = lifecycle.Outcome(status=DONE.status, output=1, usage={"tokens": 9})
    lifecycle.settle(claimed(source, "a"), outcome)
    given = run_at(source, "a")

    made = fork(source, "b")

    copied = run_at(made, "a")
    assert (copied.usage, copied.attempt, copied.worker) == (None, 0, None)
    assert (copied.input, copied.output) == (given.input, 1)
    assert (copied.started_at, copied.finished_at) == (
        given.started_at,
        given.finished_at,
    )
    assert copied.pk != given.pk


# --- in another version ----------------------------------------------------------------------


def test_in_another_version_steps_are_found_by_their_keys(broker: redis.Redis) -> None:
    same = role()
    source = done(broker, launched(*(step(key, same) for key in "abcd")))
    reordered = [step(key, same) for key in "cadb"]
    number = revised(source, *reordered, step("e", same))

    made = fork(source, "b", version=number)

    assert statuses(made) == dict.fromkeys("cad", "completed")
    places_now = dict(made.step_runs.values_list("path", "ordinal"))
    assert places_now == {"c": 0, "a": 1, "d": 2}
    done(broker, made)
    assert attempts(made) == {"a": 0, "b": 1, "c": 0, "d": 0, "e": 1}


def test_a_step_that_is_new_before_it_is_named(broker: redis.Redis) -> None:
    same = role()
    source = done(broker, launched(step("a", same), step("c", same)))
    number = revised(source, step("a", same), step("b", same), step("c", same))

    with pytest.raises(NotCopyable, match="'b' comes before 'c' and is not begun"):
        fork(source, "c", version=number)

    made = done(broker, fork(source, "b", version=number))
    assert attempts(made) == {"a": 0, "b": 1, "c": 1}


def test_a_step_that_was_removed_is_left_out(broker: redis.Redis) -> None:
    same = role()
    source = done(
        broker,
        launched(step("a", same), step("gone", same, input_mapping=2), step("c", same)),
    )
    number = revised(source, step("a", same), step("c", same))

    made = done(broker, fork(source, "c", version=number))

    assert attempts(made) == {"a": 0, "c": 1}
    assert outputs(made)["c"] == {}
    with pytest.raises(NotCopyable, match="no step 'gone'"):
        fork(source, "gone", version=number)


def test_what_follows_a_failure_is_as_the_other_version_says(
    broker: redis.Redis,
) -> None:
    same, bad = role(), role("util.fail")
    source = launched(step("a", bad), step("b", same))
    deliver_all(broker)
    with pytest.raises(NotCopyable, match="'a' comes before 'b' and is failed"):
        fork(source, "b")
    number = revised(source, step("a", bad, on_error="continue"), step("b", same))

    made = done(broker, fork(source, "b", version=number))

    assert statuses(made) == {"a": "failed", "b": "completed"}


def test_a_step_that_joined_a_group_and_one_that_left_it(broker: redis.Redis) -> None:
    same = role()
    source = done(broker, launched(step("a", same), *group("b", "c", of=same)))
    number = revised(source, *group("a", "b", of=same), step("c", same))

    made = done(broker, fork(source, "b", version=number))

    assert attempts(made) == {"a": 0, "b": 1, "c": 1}
    assert outputs(made)["c"] == {"a": {}, "b": {}}


def test_a_fork_without_a_version_runs_the_sources_own(broker: redis.Redis) -> None:
    same = role()
    source = done(broker, launched(step("a", same), step("b", same)))
    revised(source, step("z", same))

    made = done(broker, fork(source, "b"))

    assert made.version_id == source.version_id
    assert rerun(source).version_id == source.version_id


# --- input ---------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "required": ["x"]}


def test_a_changed_input_is_what_the_rest_sees(broker: redis.Redis) -> None:
    same = role()
    source = done(
        broker,
        launched(
            step("a", same),
            step("b", same, input_mapping="{{ context.input.x }}"),
            given={"x": 1},
            input_schema=SCHEMA,
        ),
    )

    made = done(broker, fork(source, "b", input={"x": 2}))

    assert outputs(made) == {"a": {"x": 1}, "b": 2}


@pytest.mark.parametrize("given", [{}, {"x": "\0"}, {"x": float("nan")}, None, []])
def test_a_changed_input_is_checked(broker: redis.Redis, given: Any) -> None:
    source = done(broker, launched(step("a", role()), given={"x": 1}))
    number = revised(source, step("a", role()), input_schema=SCHEMA)

    for copy in (partial(fork, source, "a"), partial(rerun, source)):
        with pytest.raises(InvalidInput):
            copy(input=given, version=number)

    assert Execution.objects.count() == 1


def test_the_sources_own_input_is_checked_by_the_other_version(
    broker: redis.Redis,
) -> None:
    source = done(broker, launched(step("a", role()), given={"y": 1}))
    number = revised(source, step("a", role()), input_schema=SCHEMA)

    with pytest.raises(InvalidInput):
        fork(source, "a", version=number)
    with pytest.raises(InvalidInput):
        rerun(source, version=number)


# --- times ------------------------------------------------------------------------------------------


def test_its_time_begins_now(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b", timeout_ms=60_000))
    age(source, 600)

    made = fork(source, "b")

    assert 50 < seconds_until(made, "deadline_at") <= 60


def test_its_wait_for_a_worker_begins_now(broker: redis.Redis) -> None:
    same = role()
    source = done(
        broker, launched(step("a", same), step("b", same, queue_timeout_ms=60_000))
    )
    age(source, 600)

    made = fork(source, "b")

    assert 50 < seconds_until(made, "wake_at") <= 60
    Execution.objects.filter(pk=made.pk).update(wake_at=Now())
    recovery.wake_due()
    assert (statuses(made), places(broker)) == ({"a": "completed"}, ["b"])


def test_a_fork_that_was_never_sent_is_sent_later(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b", "c"))
    made = fork(source, "b")
    broker.delete(*QUEUES)
    age(made, 60)

    assert recovery.resend_lost(broker) == 1

    assert places(broker) == ["b"]
    done(broker, made)


@pytest.mark.usefixtures("broker_away")
def test_a_broker_that_is_away_loses_no_fork() -> None:
    source = chain("a", "b")
    finish(source, "a")

    made = fork(source, "b")

    assert (now_of(made).status, statuses(made)) == ("pending", {"a": "completed"})


# --- reruns --------------------------------------------------------------------------------------------


def test_a_rerun_begins_at_the_beginning(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b", given={"x": 1}))

    made = done(broker, rerun(source))

    assert (made.input, attempts(made)) == ({"x": 1}, {"a": 1, "b": 1})
    assert made.origin == {
        "kind": "rerun",
        "execution_id": str(source.pk),
        "from_step": None,
    }
    assert done(broker, rerun(made, input={"x": 2})).input == {"x": 2}


def test_a_rerun_of_another_version_runs_that(broker: redis.Redis) -> None:
    source = done(broker, chain("a"))
    number = revised(source, step("z", role()))

    assert statuses(done(broker, rerun(source, version=number))) == {"z": "completed"}
    assert statuses(done(broker, rerun(source, version=1))) == {"a": "completed"}


def test_a_failed_execution_is_run_again_from_its_start(broker: redis.Redis) -> None:
    source = launched(step("a", role("util.fail")))
    deliver_all(broker)

    made = rerun(source)
    deliver_all(broker)

    assert error_of(made)["type"] == "failed_on_purpose"
    assert run_at(made, "a").attempt == 1


# --- orchestrations that may not run ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_active": False}, "is not active"),
        ({"archived_at": Now()}, "is archived"),
    ],
)
def test_what_may_not_run_is_neither_forked_nor_run_again(
    broker: redis.Redis, change: dict[str, Any], words: str
) -> None:
    source = done(broker, chain("a", "b"))
    Orchestration.objects.update(**change)

    with pytest.raises(NotRunnable, match=words):
        fork(source, "b")
    with pytest.raises(NotRunnable, match=words):
        rerun(source)

    assert Execution.objects.count() == 1
    assert places(broker) == []


def test_a_role_that_is_gone_keeps_it_from_starting(broker: redis.Redis) -> None:
    source = done(broker, chain("a", "b"))
    Role.objects.all().update(name="something else")

    with pytest.raises(NotRunnable, match="role"):
        fork(source, "b")


# --- idempotency keys --------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_ones_execution(
    broker: redis.Redis, ada: User
) -> None:
    source = done(broker, chain("a", "b"))

    first = fork(source, "b", by=ada, idempotency_key="k")
    again = fork(source, "b", by=ada, idempotency_key="k")

    assert (again.pk, again.is_replay) == (first.pk, True)
    assert len(messages(broker)) == 1
    assert rerun(source, by=ada, idempotency_key="r").pk != first.pk
    assert rerun(source, by=ada, idempotency_key="r").is_replay


def test_a_key_of_another_request_is_refused(broker: redis.Redis, ada: User) -> None:
    same = role()
    source = done(broker, launched(step("a", same), step("b", same), given={"x": 1}))
    other = done(broker, rerun(source))
    fork(source, "b", by=ada, idempotency_key="k")
    number = revised(source, step("a", same), step("b", same), output="{{ output }}")
    asked: dict[str, Any] = {"by": ada, "idempotency_key": "k"}
    made = Orchestration.objects.get(pk=source.orchestration_id)

    others = [
        partial(fork, source, "a", **asked),
        partial(fork, other, "b", **asked),
        partial(fork, source, "b", input={"x": 2}, **asked),
        partial(fork, source, "b", version=number, **asked),
        partial(rerun, source, **asked),
        partial(launch, made, {"x": 1}, **asked),
    ]

    for request in others:
        with pytest.raises(IdempotencyConflict, match="'k'"):
            request()
    assert Execution.objects.count() == 3


def test_a_key_of_a_launch_is_not_one_of_a_copy(ada: User) -> None:
    made = orchestration(step("a", role()))
    source = launch(made, {}, by=ada, idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        rerun(source, by=ada, idempotency_key="k")


def test_requests_with_one_key_at_once_make_one_fork(
    broker: redis.Redis, ada: User
) -> None:
    source = done(broker, chain("a", "b"))

    made = at_once(*[partial(fork, source, "b", by=ada, idempotency_key="k")] * 4)

    assert len({one.pk for one in made if isinstance(one, Execution)}) == 1
    assert Execution.objects.count() == 2
    assert places(broker) == ["b"]
    (copy,) = Execution.objects.exclude(pk=source.pk)
    assert told(copy).count("step.copied a") == 1


# --- while the source moves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(4))
def test_a_fork_of_what_moves_is_sound(broker: redis.Redis, turn: int) -> None:
    source = chain("a", "b", "c")
    broker.delete(*QUEUES)
    finish(source, "a")
    claim = claimed(source, "b", by=worker())

    made, _ = at_once(
        partial(fork, source, "b"), partial(lifecycle.settle, claim, DONE)
    )

    assert isinstance(made, Execution)
    done(broker, made)
    assert attempts(made) == {"a": 0, "b": 1, "c": 1}
