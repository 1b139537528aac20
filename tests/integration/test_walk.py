"""Walks: one message's way along an execution, and what it leaves in the record."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError, connection

from core_orchestration import versions
from executions import database, lifecycle, pinned, situation
from executions.lifecycle import claims, outcomes, retries
from executions.models import Event, Execution
from executions.signatures import Address
from executions.worker import beginning, patience, walk
from executions.worker.beginning import ComeBack
from executions.worker.leases import Worker
from executions.worker.walk import NOWHERE, Passage, Walk
from roles import snapshots
from roles.functions import FunctionContext
from tests.integration.engine import (
    FAILED,
    address_of,
    chain,
    claimed,
    end_lease,
    finish,
    group,
    launched,
    lose_reply,
    new_run,
    now_of,
    role,
    run_at,
    step,
    told,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker", "broker", "tireless"),
]

NEVER = {"field": "context.input.absent", "operator": "exists"}


@pytest.fixture
def tireless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a walk go on however long it takes, and wait for no database."""
    monkeypatch.setattr(walk, "WARM_S", 600.0)
    monkeypatch.setattr(patience, "_EVERY_S", 0.01)


def go(execution: Execution, path: str, *, pool: str = "cpu") -> Passage:
    return Walk.of(address_of(execution), path=path, pool=pool).go()


def go_and_catch(execution: Execution, path: str, *, pool: str) -> object:
    """Walk, and return what escaped: the process would end with it."""
    try:
        go(execution, path, pool=pool)
    except BaseException as escaped:  # noqa: BLE001  (even SystemExit)
        return escaped
    return None


def statuses(execution: Execution) -> dict[str, str]:
    return dict(execution.step_runs.values_list("path", "status"))


def outputs(execution: Execution) -> dict[str, Any]:
    return dict(execution.step_runs.values_list("path", "output"))


def waiting_role(**fields: Any) -> str:
    """Make a role of the other pool that takes no time."""
    return role("time.delay", config={"arguments": {"ms": 0}}, **fields)


def error_of(execution: Execution) -> dict[str, Any]:
    error = now_of(execution).error
    assert error is not None
    return dict(error)


# --- warm continuation --------------------------------------------------------------


def test_a_walk_does_a_whole_chain_and_ends_the_execution() -> None:
    add = role("math.add")
    execution = launched(
        step("one", add, input_mapping={"a": "{{ context.input.n }}", "b": 1}),
        step("two", add, input_mapping={"a": "{{ output }}", "b": "{{ context.one }}"}),
        output={"sum": "{{ context.two }}"},
        given={"n": 1},
    )

    assert go(execution, "one") == NOWHERE

    now = now_of(execution)
    assert (now.status, now.output) == ("completed", {"sum": 4})
    assert told(execution) == [
        "execution.created",
        "execution.started",
        "step.started one",
        "step.completed one",
        "step.started two",
        "step.completed two",
        "execution.completed",
    ]


def test_a_further_warm_step_takes_one_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = chain(*(f"s{n}" for n in range(5)))
    long = chain(*(f"s{n}" for n in range(25)))

    with counting(monkeypatch) as of_short:
        go(short, "s0")
    with counting(monkeypatch) as of_long:
        go(long, "s0")

    assert now_of(short).status == now_of(long).status == "completed"
    assert (len(of_long) - len(of_short)) / 20 <= 1


def test_a_warm_step_that_names_earlier_ones_takes_one_statement_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chain_with_context(length: int) -> Execution:
        same = role()
        mapping = {"all": "{{ context.s0 }}", "last": "{{ output }}"}
        exports = {"latest": "{{ output.last | default('none') }}"}
        rest = [
            step(f"s{n}", same, input_mapping=mapping, output_mapping=exports)
            for n in range(1, length)
        ]
        return launched(step("s0", same), *rest)

    short, long = chain_with_context(5), chain_with_context(25)
    with counting(monkeypatch) as of_short:
        go(short, "s0")
    with counting(monkeypatch) as of_long:
        go(long, "s0")

    assert now_of(long).status == "completed"
    assert (len(of_long) - len(of_short)) / 20 <= 1


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note every statement that goes to the database, whoever sends it."""
    sent: list[str] = []

    class Noting(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            sent.append(str(query))
            return super().execute(query, *args, **options)

    def note(execute: Any, sql: str, *args: Any) -> Any:
        sent.append(sql)
        return execute(sql, *args)

    with monkeypatch.context() as patch, connection.execute_wrapper(note):
        patch.setattr(psycopg, "Cursor", Noting)
        yield sent


# --- where walks end ------------------------------------------------------------------


def test_a_walk_ends_at_a_group() -> None:
    same = role()
    execution = launched(step("a", same), step("b", same), *group("c", "d", of=same))

    assert go(execution, "a") == Passage(block=2)
    assert statuses(execution) == {"a": "completed", "b": "completed"}


@pytest.mark.parametrize(("pool", "first", "second"), [("cpu", 0, 1), ("io", 1, 0)])
def test_a_walk_ends_at_a_step_of_the_other_pool(
    pool: str, first: int, second: int
) -> None:
    roles = [role(), waiting_role()]
    execution = launched(
        step("a", roles[first]), step("b", roles[first]), step("c", roles[second])
    )

    assert go(execution, "a", pool=pool) == Passage(block=2)
    assert statuses(execution) == {"a": "completed", "b": "completed"}


def test_a_walk_ends_at_a_step_with_a_longer_time_limit() -> None:
    same = role()
    execution = launched(
        step("a", same, timeout_ms=2000),
        step("b", same, timeout_ms=1000),
        step("c", same, timeout_ms=2000),
        step("d", same, timeout_ms=2001),
    )

    assert go(execution, "a") == Passage(block=3)


def test_a_walk_ends_when_its_time_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "WARM_S", -1.0)
    execution = chain("a", "b")

    assert go(execution, "a") == Passage(block=1)
    assert statuses(execution) == {"a": "completed"}


def test_a_walk_along_a_group_ends_with_its_member() -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), step("c", same))

    assert go(execution, "a") == NOWHERE
    assert statuses(execution) == {"a": "completed"}


def test_the_last_member_of_a_last_group_leaves_the_end_to_the_join() -> None:
    execution = launched(*group("a", "b", of=role()))

    go(execution, "a")
    go(execution, "b")

    assert now_of(execution).status == "running"


# --- steps that are settled, or not to be begun -----------------------------------------


def test_a_walk_passes_by_a_step_that_is_done() -> None:
    execution = chain("a", "b")
    finish(execution, "a")

    assert go(execution, "a") == NOWHERE

    assert now_of(execution).status == "completed"
    assert run_at(execution, "a").attempt == 1
    assert told(execution).count("step.started a") == 1


def test_a_walk_past_the_last_step_completes_what_was_left_open() -> None:
    execution = chain("a")
    finish(execution, "a")

    go(execution, "a")

    assert now_of(execution).status == "completed"


def test_a_walk_that_passes_by_says_where_the_canvas_goes_on() -> None:
    same = role()
    execution = launched(step("a", same), *group("b", "c", of=same))
    finish(execution, "a")

    assert go(execution, "a") == Passage(block=1)


def test_a_walk_to_a_settled_member_ends_there() -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), step("c", same))
    finish(execution, "a", "b")

    assert go(execution, "a") == NOWHERE
    assert "c" not in statuses(execution)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_walk_of_another_epoch_does_nothing(epoch: int) -> None:
    execution = chain("a", "b")
    address = address_of(execution)
    other = Address(execution=address.execution, version=address.version, epoch=epoch)

    assert Walk.of(other, path="a", pool="cpu").go() == NOWHERE
    assert told(execution) == ["execution.created"]


def test_a_walk_in_an_execution_that_has_ended_does_nothing() -> None:
    execution = chain("a")
    lifecycle.terminate(execution.pk, by=None, reason=None)

    assert go(execution, "a") == NOWHERE
    assert statuses(execution) == {}


def test_a_walk_in_an_execution_that_is_gone_does_nothing() -> None:
    address = address_of(chain("a"))
    gone = Address(execution=str(uuid4()), version=address.version, epoch=1)

    assert Walk.of(gone, path="a", pool="cpu").go() == NOWHERE


@pytest.mark.parametrize("first", [None, "running", "retrying"])
def test_a_step_whose_predecessor_is_not_settled_does_not_begin(
    first: str | None,
) -> None:
    execution = chain("a", "b")
    if first:
        claim = claimed(execution, "a", by=worker())
    if first == "retrying":
        lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=False)

    assert go(execution, "b") == NOWHERE
    assert "b" not in statuses(execution)


def test_a_step_after_a_group_does_not_begin_before_the_join_says_so() -> None:
    same = role()
    execution = launched(*group("a", "b", of=same), step("c", same))
    finish(execution, "a", "b")

    assert go(execution, "c") == NOWHERE

    lifecycle.advance(execution.pk, epoch=1, block=1)
    go(execution, "c")
    assert now_of(execution).status == "completed"


# --- steps that another worker has --------------------------------------------------------


def test_a_step_that_a_live_worker_has_is_asked_for_again_after_its_lease() -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker(lease_s=20))

    with pytest.raises(ComeBack) as later:
        go(execution, "a")

    assert later.value.path == "a"
    assert 15 < later.value.delay_s <= 21


def test_a_step_whose_worker_is_gone_is_taken_over_at_once() -> None:
    execution, lost = chain("a"), worker()
    claimed(execution, "a", by=lost)
    end_lease(lost)

    with pytest.raises(ComeBack) as at_once:
        go(execution, "a")
    assert at_once.value.delay_s == 0
    go(execution, "a")

    run = run_at(execution, "a")
    assert (run.status, run.attempt, run.crashes) == ("completed", 2, 1)


def test_a_step_that_took_too_many_workers_with_it_is_given_up() -> None:
    execution = chain("a", "b")
    for _ in range(3):
        claim = claimed(execution, "a")
        lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)
    claimed(execution, "a")

    assert go(execution, "a") == NOWHERE

    assert error_of(execution)["type"] == "crashed"


# --- conditions ---------------------------------------------------------------------------


def test_a_step_whose_condition_is_false_is_skipped_and_output_stays() -> None:
    same = role()
    execution = launched(
        step("a", same, input_mapping={"n": 1}),
        step("b", same, condition=NEVER),
        step("c", same),
        output={"b": "{{ context.b }}", "last": "{{ output }}"},
    )

    assert go(execution, "a") == NOWHERE

    assert statuses(execution) == {"a": "completed", "b": "skipped", "c": "completed"}
    assert now_of(execution).output == {"b": None, "last": {"n": 1}}


def test_an_execution_whose_every_step_is_skipped_gives_its_input() -> None:
    same = role()
    execution = launched(
        step("a", same, condition=NEVER),
        step("b", same, condition=NEVER),
        output="{{ output }}",
        given={"x": 1},
    )

    go(execution, "a")

    now = now_of(execution)
    assert (now.status, now.output) == ("completed", {"x": 1})
    assert told(execution).count("execution.started") == 1


# --- failures -----------------------------------------------------------------------------


def test_a_failure_ends_the_execution_and_the_walk() -> None:
    same = role()
    execution = launched(step("a", role("util.fail")), step("b", same))

    assert go(execution, "a") == NOWHERE

    assert error_of(execution) == {
        "step_key": "a",
        "type": "failed_on_purpose",
        "message": "This step fails on purpose.",
        "attempt": 1,
    }
    assert statuses(execution) == {"a": "failed"}


def test_with_on_error_continue_the_walk_goes_on() -> None:
    execution = launched(
        step("a", role("util.fail"), on_error="continue"),
        step(
            "b",
            role(),
            input_mapping={
                "a": "{{ context.a }}",
                "why": "{{ context.errors.a.type }}",
                "output": "{{ output }}",
            },
        ),
    )

    go(execution, "a")

    assert now_of(execution).status == "completed"
    assert outputs(execution)["b"] == {
        "a": None,
        "why": "failed_on_purpose",
        "output": None,
    }


def retrying(delay_ms: int, **fields: Any) -> Execution:
    """Launch a chain whose second step fails once."""
    same = role()
    given = {"times": 1, "retryable": True}
    again = step(
        "again",
        role("util.fail"),
        input_mapping=given,
        max_retries=1,
        retry_delay_ms=delay_ms,
        **fields,
    )
    return launched(step("a", same), again, step("b", same))


def test_a_retry_that_is_due_soon_is_the_messages_to_carry() -> None:
    execution = retrying(200)

    with pytest.raises(ComeBack) as later:
        go(execution, "a")

    assert (later.value.path, later.value.delay_s) == ("again", 0.2)
    assert statuses(execution) == {"a": "completed", "again": "retrying"}
    assert now_of(execution).wake_at is None


def test_a_retry_that_is_not_due_yet_is_asked_for_again_when_it_is() -> None:
    execution = retrying(30_000)
    with pytest.raises(ComeBack):
        go(execution, "a")

    with pytest.raises(ComeBack) as early:
        go(execution, "again")

    assert 20 < early.value.delay_s <= 30
    assert run_at(execution, "again").attempt == 1


def test_a_retry_that_is_due_is_done_and_the_walk_goes_on() -> None:
    execution = retrying(0)
    with pytest.raises(ComeBack):
        go(execution, "a")

    assert go(execution, "again") == NOWHERE

    assert now_of(execution).status == "completed"
    assert run_at(execution, "again").attempt == 2


def test_a_retry_far_away_is_the_reconcilers_to_wake() -> None:
    execution = retrying(90_000)

    assert go(execution, "a") == NOWHERE

    assert now_of(execution).wake_at == run_at(execution, "again").retry_at
    assert "b" not in statuses(execution)
    assert go(execution, "again") == NOWHERE


def test_a_step_that_takes_too_long_times_out(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    async def wait(given: Any) -> None:
        await asyncio.sleep(60)

    execution = launched(step("a", register(wait), timeout_ms=100))

    go(execution, "a", pool="io")

    assert statuses(execution) == {"a": "timed_out"}
    assert error_of(execution) == {
        "step_key": "a",
        "type": "timed_out",
        "message": "The attempt did not end within 100 ms.",
        "attempt": 1,
    }


def test_a_step_that_is_cut_by_the_executions_deadline_is_left_to_it(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    async def wait(given: Any) -> None:
        await asyncio.sleep(60)

    execution = launched(step("a", register(wait)), timeout_ms=1200)

    assert go(execution, "a", pool="io") == NOWHERE

    assert statuses(execution) == {"a": "running"}
    assert lifecycle.time_out(execution.pk)
    assert statuses(execution) == {"a": "cancelled"}


def test_what_a_function_raises_is_the_steps_failure(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    def fail(given: Any) -> None:
        raise LookupError("no such order")

    execution = launched(step("a", register(fail)))

    go(execution, "a")

    error = error_of(execution)
    assert (error["type"], error["message"]) == (
        "exception",
        "LookupError: no such order",
    )


@pytest.mark.parametrize("ending", [SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("pool", ["cpu", "io"])
def test_a_function_that_wants_to_end_its_process_or_its_task_only_fails(
    register: Callable[[Callable[..., Any]], str],
    ending: type[BaseException],
    pool: str,
) -> None:
    # A step of a live worker that nobody runs any more would never end.
    def leave(given: Any) -> None:
        raise ending("Enough.")

    async def leave_async(given: Any) -> None:
        raise ending("Enough.")

    worker = register(leave if pool == "cpu" else leave_async)
    execution = launched(step("a", worker, timeout_ms=3000))

    escaped = go_and_catch(execution, "a", pool=pool)

    assert escaped is None
    assert error_of(execution)["type"] == "exception"


def test_a_function_that_has_no_memory_left_only_fails(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    def hoard(given: Any) -> None:
        raise MemoryError

    execution = launched(step("a", register(hoard)))

    go(execution, "a")

    assert "MemoryError" in error_of(execution)["message"]


def test_an_output_that_is_not_json_is_the_steps_failure(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    def odd(given: Any) -> Any:
        return {"when": object()}

    execution = launched(step("a", register(odd)))

    go(execution, "a")

    assert error_of(execution)["type"] == "not_json"


def test_an_output_that_is_too_large_is_the_steps_failure(settings: Any) -> None:
    settings.CORE_MAX_OUTPUT_BYTES = 20
    execution = launched(step("a", role()), given={"text": "x" * 30})

    go(execution, "a")

    assert error_of(execution)["type"] == "output_too_large"


# --- templates that do not resolve ------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_an_input_that_does_not_resolve_fails_the_step_before_it_runs(
    place: int,
) -> None:
    same = role()
    steps = [step("a", same), step("b", same)]
    steps[place]["input_mapping"] = "{{ context.input.absent }}"
    execution = launched(*steps)

    go(execution, "a")

    error = error_of(execution)
    key = steps[place]["key"]
    assert (error["type"], error["step_key"]) == ("template_error", key)
    assert f"In input_mapping of step '{key}'" in error["message"]
    assert told(execution)[-3:] == [
        f"step.started {key}",
        f"step.failed {key}",
        "execution.failed",
    ]


def test_a_condition_that_does_not_resolve_is_named_as_what_it_is() -> None:
    condition = {
        "field": "context.input.n",
        "operator": "==",
        "value": "{{ context.input.absent }}",
    }
    execution = launched(step("a", role(), condition=condition), given={"n": 1})

    go(execution, "a")

    assert error_of(execution)["type"] == "template_error"
    assert "In condition of step 'a'" in error_of(execution)["message"]


def test_an_output_mapping_that_does_not_resolve_fails_the_step() -> None:
    execution = launched(step("a", role(), output_mapping={"x": "{{ output.absent }}"}))

    go(execution, "a")

    assert statuses(execution) == {"a": "failed"}
    assert "In output_mapping of step 'a'" in error_of(execution)["message"]


def test_with_on_error_continue_an_input_that_does_not_resolve_is_passed_by() -> None:
    same = role()
    execution = launched(
        step("a", same),
        step(
            "b",
            same,
            input_mapping="{{ context.input.absent }}",
            on_error="continue",
        ),
        step("c", same, input_mapping={"b": "{{ context.b }}"}),
    )

    go(execution, "a")

    assert now_of(execution).status == "completed"
    assert outputs(execution)["c"] == {"b": None}


def test_an_orchestrations_output_that_does_not_resolve_fails_it_alone() -> None:
    execution = launched(step("a", role()), output="{{ context.a.absent }}")

    go(execution, "a")

    error = error_of(execution)
    assert (error["type"], error["step_key"]) == ("template_error", None)
    assert statuses(execution) == {"a": "completed"}
    assert told(execution)[-2:] == ["step.completed a", "execution.failed"]


# --- what steps share ---------------------------------------------------------------------------


def test_exported_names_are_there_for_later_steps_the_latest_one_counts() -> None:
    same = role()
    execution = launched(
        step("a", same, output_mapping={"n": "{{ output.x }}", "m": 1}),
        step("b", same, output_mapping={"n": "{{ context.n }}{{ context.n }}"}),
        output={"n": "{{ context.n }}", "m": "{{ context.m }}"},
        given={"x": "1"},
    )

    go(execution, "a")

    assert now_of(execution).output == {"n": "11", "m": 1}


def test_after_a_group_output_is_that_of_its_members() -> None:
    same = role()
    execution = launched(
        step("a", same),
        *group("b", "c", of=same),
        step("d", same),
        given={"x": 1},
    )
    go(execution, "a")
    lifecycle.advance(execution.pk, epoch=1, block=1)
    go(execution, "b")
    go(execution, "c")
    lifecycle.advance(execution.pk, epoch=1, block=2)

    go(execution, "d")

    assert outputs(execution)["d"] == {"b": {"x": 1}, "c": {"x": 1}}


def test_every_attempt_of_a_step_has_one_idempotency_key(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    keys: list[str] = []

    def effect(given: Any, context: FunctionContext) -> None:
        keys.append(context.idempotency_key)
        if len(keys) < 3:
            raise LookupError

    execution = launched(step("a", register(effect), max_retries=2, retry_delay_ms=0))
    for _ in range(2):
        with pytest.raises(ComeBack):
            go(execution, "a")
    go(execution, "a")

    assert keys == [str(run_at(execution, "a").pk)] * 3


# --- a step that is taken away while it runs ----------------------------------------------------


def test_a_result_that_comes_after_a_cancellation_changes_nothing(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    def cancel(given: Any, context: FunctionContext) -> str:
        lifecycle.terminate(execution.pk, by=None, reason=None)
        return "late"

    execution = launched(step("a", register(cancel)), step("b", role()))

    assert go(execution, "a") == NOWHERE

    assert statuses(execution) == {"a": "cancelled"}
    assert outputs(execution) == {"a": None}


def test_a_result_that_comes_after_the_step_was_done_elsewhere_changes_nothing(
    register: Callable[[Callable[..., Any]], str], this_worker: Worker
) -> None:
    def freeze(given: Any) -> str:
        end_lease(this_worker.id)
        run = run_at(execution, "a")
        assert lifecycle.return_lost(run.pk, max_crashes=3, wake=False)
        finish(execution, "a")
        return "late"

    execution = launched(step("a", register(freeze)), step("b", role()))

    assert go(execution, "a") == NOWHERE

    assert outputs(execution) == {"a": {"n": 1}}
    assert told(execution).count("step.completed a") == 1


def test_under_a_new_epoch_a_result_is_kept_and_the_walk_ends(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    def slow(given: Any) -> str:
        lifecycle.next_epoch(execution.pk, epoch=1, block=0)
        return "kept"

    execution = launched(step("a", register(slow)), step("b", role()))

    assert go(execution, "a") == NOWHERE

    assert outputs(execution) == {"a": "kept"}
    go(execution, "a")
    assert now_of(execution).status == "completed"


# --- replies that are lost ------------------------------------------------------------------------


def check_ran_once(execution: Execution) -> None:
    assert now_of(execution).status == "completed"
    events = told(execution)
    assert len(events) == len(set(events)), events
    assert {run.attempt for run in execution.step_runs.all()} == {1}


@pytest.mark.parametrize("times", [1, 3])
def test_a_claim_whose_reply_was_lost_is_recognised(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    execution = chain("a", "b")
    lost = lose_reply(monkeypatch, claims, "ON CONFLICT (id) DO UPDATE", times=times)

    go(execution, "a")

    assert lost
    check_ran_once(execution)


def test_a_warm_claim_whose_reply_was_lost_is_recognised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = chain("a", "b", "c")
    lost = lose_reply(monkeypatch, outcomes, "LEFT JOIN (s CROSS")

    go(execution, "a")

    assert lost
    check_ran_once(execution)


@pytest.mark.parametrize("steps", ["to another pool", "to a group", "past a skip"])
def test_an_outcome_whose_reply_was_lost_is_recognised(
    monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    same = role()
    rest = {
        "to another pool": [step("b", waiting_role())],
        "to a group": group("b", "c", of=same),
        "past a skip": [step("b", same, condition=NEVER)],
    }
    execution = launched(step("a", same), *rest[steps])
    lost = lose_reply(monkeypatch, outcomes, "'step.' || %(status)s")

    reached = go(execution, "a")

    assert lost
    assert statuses(execution)["a"] == "completed"
    if steps == "past a skip":
        assert now_of(execution).status == "completed"
    else:
        assert reached == Passage(block=1)


def test_a_members_outcome_whose_reply_was_lost_is_recorded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = launched(*group("a", "b", of=role()))
    lost = lose_reply(monkeypatch, outcomes, "'step.' || %(status)s")

    go(execution, "a")

    assert lost
    assert statuses(execution) == {"a": "completed"}
    assert told(execution).count("step.completed a") == 1


def test_an_end_whose_reply_was_lost_is_recorded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = chain("a")
    lost = lose_reply(monkeypatch, outcomes, "'execution.completed'")

    go(execution, "a")

    assert lost
    check_ran_once(execution)


def test_a_failure_whose_reply_was_lost_is_recorded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = launched(step("a", role("util.fail")), step("b", role()))
    lost = lose_reply(monkeypatch, outcomes, "'execution.unwinding'")

    assert go(execution, "a") == NOWHERE

    assert lost
    assert now_of(execution).status == "failed"
    assert told(execution).count("step.failed a") == 1


def test_a_retry_whose_reply_was_lost_is_still_the_messages_to_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = retrying(200)
    lost = lose_reply(monkeypatch, retries, "'step.retrying', %(path)s")

    with pytest.raises(ComeBack) as later:
        go(execution, "a")

    assert lost
    assert later.value.path == "again"
    assert told(execution).count("step.retrying again") == 1


def test_a_skip_whose_reply_was_lost_is_done_by_the_message_that_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    same = role()
    execution = launched(step("a", same, condition=NEVER), step("b", same))
    lost = lose_reply(monkeypatch, claims, "'step.skipped'")

    try:
        go(execution, "a")
    except ComeBack as signal:
        go(execution, signal.path)

    assert lost
    assert statuses(execution) == {"a": "skipped", "b": "completed"}
    assert told(execution).count("step.skipped a") == 1


def test_a_step_whose_end_was_lost_and_that_was_cut_meanwhile_is_not_taken_for_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The reply is lost because the server went down before the commit.
    execution = chain("a", "b")
    fetch = database.fetch

    def failing(sql: Any, params: Any) -> Any:
        if "LEFT JOIN (s CROSS" in sql and not now_of(execution).finished_at:
            lifecycle.terminate(execution.pk, by=None, reason=None)
            raise OperationalError("the connection broke")
        return fetch(sql, params)

    monkeypatch.setattr(outcomes, "fetch", failing)

    assert go(execution, "a") == NOWHERE

    assert statuses(execution) == {"a": "cancelled"}


# --- databases that go away ---------------------------------------------------------------------------


class BackAfter(logging.Handler):
    """Bring PostgreSQL back once the engine has waited for it so many times."""

    def __init__(self, complaints: int, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.left = complaints
        self.patch = patch

    def emit(self, record: logging.LogRecord) -> None:
        self.left -= 1
        if self.left == 0:
            self.patch.undo()


@pytest.mark.parametrize("fails", [False, True])
def test_a_result_outlives_an_outage(
    register: Callable[[Callable[..., Any]], str], fails: bool
) -> None:
    calls: list[str] = []
    patch = pytest.MonkeyPatch()
    handler = BackAfter(3, patch)

    def outage(given: Any) -> str:
        calls.append("called")
        connection.close()
        patch.setitem(connection.settings_dict, "HOST", "/nowhere")
        if fails:
            raise LookupError("no such order")
        return "result"

    execution = launched(step("a", register(outage)), step("b", role()))
    patience.log.addHandler(handler)
    try:
        go(execution, "a")
    finally:
        patience.log.removeHandler(handler)
        patch.undo()

    assert calls == ["called"]
    assert handler.left <= 0
    assert statuses(execution)["a"] == ("failed" if fails else "completed")
    assert now_of(execution).status == ("failed" if fails else "completed")


def test_a_walk_that_finds_no_database_comes_back_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = chain("a", "b")
    way = Walk.of(address_of(execution), path="a", pool="cpu")
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", "/nowhere")
        with pytest.raises(ComeBack) as later:
            way.go()

    assert later.value.path == "a"
    assert now_of(execution).status == "pending"


@pytest.fixture
def breaks() -> Iterator[Callable[[], None]]:
    """End this thread's connection from the other side, unnoticed."""

    def end() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            row = cursor.fetchone()
        assert row is not None
        with psycopg.connect(_dsn(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", row)

    yield end
    connection.close()


@pytest.mark.parametrize("cached", [True, False])
def test_a_connection_that_broke_while_nobody_looked_costs_one_coming_back(
    breaks: Callable[[], None], cached: bool
) -> None:
    execution = chain("a", "b")
    address = address_of(execution)
    if not cached:
        pinned.plan.cache_clear()
        pinned.role.cache_clear()
        versions.load.cache_clear()
        snapshots.load.cache_clear()
    breaks()

    with pytest.raises((ComeBack, OperationalError)):
        Walk.of(address, path="a", pool="cpu").go()
    Walk.of(address, path="a", pool="cpu").go()

    check_ran_once(execution)


def _dsn() -> str:
    params = {**connection.get_connection_params()}
    wanted = ("dbname", "user", "password", "host", "port")
    return psycopg.conninfo.make_conninfo(
        **{name: params[name] for name in wanted if params.get(name)}
    )


def test_a_process_that_ends_gives_up_waiting(
    monkeypatch: pytest.MonkeyPatch, register: Callable[[Callable[..., Any]], str]
) -> None:
    monkeypatch.setattr(patience, "_process_ends", threading.Event())

    def outage(given: Any) -> str:
        patience.let_go()
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
        return "result"

    execution = launched(step("a", register(outage)), step("b", role()))

    with pytest.raises(ComeBack):
        go(execution, "a")

    monkeypatch.undo()
    assert statuses(execution) == {"a": "running"}


# --- faults of the engine itself ------------------------------------------------------------------------


def test_a_step_whose_end_the_database_refuses_fails_and_does_not_hang(
    register: Callable[[Callable[..., Any]], str],
) -> None:
    def huge(given: Any) -> Any:
        return 10**1200  # JSON, but larger than what most readers take

    execution = launched(step("a", register(huge)), step("b", role()))

    go(execution, "a")

    assert now_of(execution).status in ("completed", "failed")
    assert "running" not in statuses(execution).values()


def test_own_claims_are_not_taken_from_a_thread_that_runs_them(
    register: Callable[[Callable[..., Any]], str], this_worker: Worker
) -> None:
    seen: list[Any] = []

    def look(given: Any) -> None:
        run = new_run(execution, "a", by=this_worker.id)
        seen.append((beginning.own_claim(run), lifecycle.claim_of(run)))

    execution = launched(step("a", register(look)))

    go(execution, "a")

    ((own, held),) = seen
    assert own is None
    assert held is not None


def test_the_attempts_number_is_in_its_event() -> None:
    execution = retrying(0)
    with pytest.raises(ComeBack):
        go(execution, "a")
    go(execution, "again")

    started = Event.objects.filter(execution=execution, path="again").order_by("id")
    numbers = [
        e.data["attempt"] for e in started if e.type == "step.started" and e.data
    ]
    assert numbers == [1, 2]


def test_nothing_is_read_that_the_templates_do_not_name() -> None:
    same = role()
    execution = launched(
        step("a", same, input_mapping={"text": "large"}),
        step("b", same, input_mapping=1),
        step("c", same, input_mapping="{{ context.a.text }}"),
        step("d", same, input_mapping=2),
    )
    finish(execution, "a", "b", "c")
    plan = Walk.of(address_of(execution), path="d", pool="cpu").plan

    known = situation.read_before(execution.pk, plan, plan.by_path["d"])

    assert known is not None
    assert known.rows.keys() == {"c"}
