"""The canvas of what is left: windows, groups, queues, and how much it weighs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from celery import chord
from celery.canvas import Signature

from executions import canvas, signatures
from executions.canvas import COMPANY, SPREAD, WINDOW, Manner
from executions.plan import Plan, PlannedStep
from executions.signatures import (
    ADVANCE,
    JOIN,
    RUN_STEP,
    RUN_STEPS,
    RUN_TOGETHER,
    Address,
)
from tests.unit.executions.plans import ADDRESS, chain_of, plan_of, step


def cpu(planned: PlannedStep) -> str:
    return "cpu"


def by_key(planned: PlannedStep) -> str:
    """Let steps whose key begins with `io` wait in the other pool."""
    return "io" if planned.path.startswith("io") else "cpu"


def compiled(plan: Plan, index: int = 0, **options: Any) -> Any:
    """Compile what is one message, or one chord of them."""
    (sent,) = canvas.from_block(plan, index, ADDRESS, cpu, Manner(**options))
    return sent


def links_of(sent: Signature[Any]) -> list[Signature[Any]]:
    """List a chain's links; a single message is a chain of one."""
    return [sent, *reversed(sent.options.get("chain", []))]


def places(sent: Signature[Any]) -> list[Any]:
    """Say where each message leads: a step's path, or a block's index."""
    return [
        link.kwargs.get("path", link.kwargs.get("block")) for link in links_of(sent)
    ]


def group_of(size: int, **fields: Any) -> list[dict[str, Any]]:
    return [step(f"m{n}", parallel_group="g", **fields) for n in range(size)]


# --- windows ----------------------------------------------------------------------


def test_a_long_chain_is_sent_in_windows_that_end_in_advance() -> None:
    sent = compiled(chain_of(60))

    assert places(sent) == [*(f"s{n}" for n in range(WINDOW)), WINDOW]
    assert [link.task for link in links_of(sent)] == [RUN_STEP] * WINDOW + [ADVANCE]


def test_the_last_window_ends_with_its_last_step() -> None:
    sent = compiled(chain_of(60), 50)

    assert places(sent) == [f"s{n}" for n in range(50, 60)]


def test_a_chain_as_long_as_the_window_needs_no_advance() -> None:
    assert places(compiled(chain_of(WINDOW))) == [f"s{n}" for n in range(WINDOW)]


def test_a_chain_one_longer_than_the_window_advances_to_a_single_step() -> None:
    plan = chain_of(WINDOW + 1)

    assert places(compiled(plan))[-1] == WINDOW
    assert places(compiled(plan, WINDOW)) == [f"s{WINDOW}"]


def test_a_single_step_is_a_message_of_its_own() -> None:
    sent = compiled(chain_of(1))

    assert (sent.task, sent.kwargs["path"]) == (RUN_STEP, "s0")


def test_the_canvas_of_a_later_block_begins_there() -> None:
    assert places(compiled(chain_of(5), 3)) == ["s3", "s4"]


@pytest.mark.parametrize("before", [1, 2, WINDOW])
def test_a_group_cuts_the_window(before: int) -> None:
    alone = [step(f"s{n}") for n in range(before)]
    sent = compiled(plan_of(*alone, *group_of(2), step("after")))

    assert places(sent) == [*(f"s{n}" for n in range(before)), before]
    assert links_of(sent)[-1].task == ADVANCE


def test_after_a_group_the_canvas_goes_on_as_a_chain() -> None:
    sent = compiled(plan_of(*group_of(2), step("a"), step("b")), 1)

    assert places(sent) == ["a", "b"]


# --- groups -----------------------------------------------------------------------


def test_a_group_is_a_chord_of_its_members_with_a_join() -> None:
    sent = compiled(plan_of(*group_of(3), step("after")))

    assert isinstance(sent, chord)
    assert [member.kwargs["path"] for member in sent.tasks] == ["m0", "m1", "m2"]
    assert sent.body.task == JOIN


def test_the_joins_message_carries_nothing_but_its_place() -> None:
    sent = compiled(plan_of(*group_of(3)))

    assert sent.body.kwargs == ADDRESS.kwargs(block=0)
    assert (sent.body.args, sent.body.immutable) == ((), True)
    assert len(json.dumps(sent.body)) < 500


def test_a_group_of_one_still_joins() -> None:
    sent = compiled(plan_of(*group_of(1), step("after")))

    assert [member.kwargs["path"] for member in sent.tasks] == ["m0"]
    assert sent.body.task == JOIN


def test_only_the_members_that_are_left_are_sent() -> None:
    sent = compiled(plan_of(*group_of(4)), members={"m1", "m3"})

    assert [member.kwargs["path"] for member in sent.tasks] == ["m1", "m3"]


def test_a_group_with_nobody_left_only_joins() -> None:
    sent = compiled(plan_of(*group_of(2), step("after")), members=set())

    assert (sent.task, sent.kwargs["block"]) == (JOIN, 0)


def test_members_of_another_block_are_passed_over() -> None:
    sent = compiled(plan_of(*group_of(2), step("after")), members={"after"})

    assert sent.task == JOIN


def test_two_neighbouring_groups_are_sent_one_after_the_other() -> None:
    plan = plan_of(
        step("a", parallel_group="g"),
        step("b", parallel_group="g"),
        step("c", parallel_group="h"),
    )

    assert [m.kwargs["path"] for m in compiled(plan).tasks] == ["a", "b"]
    assert [m.kwargs["path"] for m in compiled(plan, 1).tasks] == ["c"]


# --- what messages carry -----------------------------------------------------------


def test_each_step_goes_to_the_queue_of_its_pool() -> None:
    plan = plan_of(step("cpu1"), step("io1"), step("cpu2"), step("x", timeout_ms=5))

    (sent,) = canvas.from_block(plan, 0, ADDRESS, by_key)

    queues = [link.options["queue"] for link in links_of(sent)]
    assert queues == ["cpu", "io", "cpu", "cpu"]


def test_what_is_sent_again_goes_to_the_queues_that_are_served_first() -> None:
    plan = plan_of(step("cpu1"), step("io1"), *group_of(2))

    (sent,) = canvas.from_block(plan, 0, ADDRESS, by_key, Manner(recovery=True))

    queues = [link.options["queue"] for link in links_of(sent)]
    assert queues == ["cpu.recovery", "io.recovery", "control"]


def test_a_recovered_groups_members_go_to_the_queues_served_first() -> None:
    sent = compiled(plan_of(*group_of(2)), recovery=True)

    assert {m.options["queue"] for m in sent.tasks} == {"cpu.recovery"}


def test_the_pool_is_the_same_for_what_is_sent_again() -> None:
    for pool in ("cpu", "io"):
        for recovery in (True, False):
            queue = signatures.queue_of(pool, recovery=recovery)
            assert signatures.pool_of_queue(queue) == pool


def test_a_step_is_killed_only_well_after_its_own_time_limit() -> None:
    sent = compiled(plan_of(step("slow", timeout_ms=90_000)))

    assert sent.options["time_limit"] == 90 + signatures.HARD_LIMIT_GRACE_S


def test_every_message_is_immutable_and_carries_ids_and_numbers_only() -> None:
    plan = plan_of(
        step("a", input_mapping={"secret": "canary"}, name="canary"),
        *group_of(2, description="canary"),
        step("b", output_mapping={"x": "canary"}),
        input_schema={"title": "canary"},
    )

    messages = [
        *links_of(compiled(plan)),
        *compiled(plan, 1).tasks,
        compiled(plan, 1).body,
        *links_of(compiled(plan, 2)),
    ]

    assert "canary" not in json.dumps(messages)
    for message in messages:
        assert message.immutable
        assert message.args == ()
        assert message.kwargs.keys() <= {
            "execution",
            "version",
            "epoch",
            "path",
            "block",
        }
        assert all(isinstance(value, str | int) for value in message.kwargs.values())


def test_the_canvas_is_a_function_of_plan_and_place() -> None:
    plan = plan_of(*(step(f"s{n}") for n in range(30)), *group_of(3))

    for index in (0, 25, 30):
        assert json.dumps(compiled(plan, index)) == json.dumps(compiled(plan, index))


# --- batches ----------------------------------------------------------------------


def header_of(plan: Plan, pool: Any = cpu, **options: Any) -> list[Signature[Any]]:
    """List the messages of a group's members."""
    sent = canvas.from_block(plan, 0, ADDRESS, pool, Manner(**options))
    return list(getattr(sent[0], "tasks", sent))


def paths_of(message: Signature[Any]) -> list[str]:
    """List the members that a message leads to."""
    return list(message.kwargs.get("paths") or [message.kwargs["path"]])


@pytest.mark.parametrize(
    ("members", "sizes"),
    [
        (1, [1]),
        (7, [1] * 7),
        (8, [2] * 4),
        (9, [2] * 4 + [1]),
        (99, [24] * 4 + [3]),
        (100, [50] * 2),
        (199, [50] * 3 + [49]),
        (200, [50] * 4),
        (1000, [50] * 20),
    ],
)
def test_the_larger_a_group_the_more_members_travel_in_a_message_up_to_a_limit(
    members: int, sizes: list[int]
) -> None:
    header = header_of(plan_of(*group_of(members), step("after")))

    assert [len(paths_of(message)) for message in header] == sizes


@pytest.mark.parametrize("members", [7, 8, 9, 100, 1000])
def test_every_member_travels_once_and_in_its_order(members: int) -> None:
    header = header_of(plan_of(*group_of(members)))

    every = [path for message in header for path in paths_of(message)]
    assert every == [f"m{n}" for n in range(members)]


def test_batches_see_to_their_join_themselves() -> None:
    messages = canvas.from_block(plan_of(*group_of(100)), 0, ADDRESS, cpu)

    assert [message.task for message in messages] == [RUN_STEPS] * 2


def test_a_member_that_travels_alone_makes_the_group_a_chord() -> None:
    once = step("m99", parallel_group="g", at_most_once=True)

    (sent,) = canvas.from_block(plan_of(*group_of(99), once), 0, ADDRESS, cpu)

    assert isinstance(sent, chord)
    assert sent.body.task == JOIN


def test_a_batch_is_sent_as_any_member_is() -> None:
    batch = header_of(plan_of(*group_of(8)))[0]

    assert batch.task == RUN_STEPS
    assert batch.kwargs == ADDRESS.kwargs(paths=["m0", "m1"])
    assert (batch.args, batch.immutable) == ((), True)
    assert batch.options["queue"] == "cpu"


def test_a_batch_is_killed_well_after_the_longest_limit_of_its_members() -> None:
    limits = [1000 * (n + 1) for n in range(16)]
    members = [
        step(f"m{n}", parallel_group="g", timeout_ms=limit)
        for n, limit in enumerate(limits)
    ]

    header = header_of(plan_of(*members))

    assert [message.options["time_limit"] for message in header] == [
        seconds + signatures.HARD_LIMIT_GRACE_S for seconds in range(4, 17, 4)
    ]


def test_members_that_await_share_messages_of_their_own_pool() -> None:
    members = [step(f"io{n}", parallel_group="g") for n in range(32)]

    header = header_of(plan_of(*members), by_key)

    assert {message.task for message in header} == {RUN_STEPS}
    assert {message.options["queue"] for message in header} == {"io"}
    assert [len(paths_of(message)) for message in header] == [8] * 4


def test_only_neighbours_of_one_pool_share_a_message() -> None:
    keys = [f"{'io' if n % 4 == 3 else 'm'}{n}" for n in range(32)]
    members = [step(key, parallel_group="g") for key in keys]

    header = header_of(plan_of(*members), by_key)

    assert [path for message in header for path in paths_of(message)] == keys
    for message in header:
        (pool,) = {"io" if p.startswith("io") else "cpu" for p in paths_of(message)}
        assert message.options["queue"] == pool
    assert [len(paths_of(message)) for message in header] == [3, 1] * 8


@pytest.mark.parametrize("fields", [{"at_most_once": True}, {"timeout_ms": 999}])
def test_members_that_nobody_may_stand_before_travel_alone(
    fields: dict[str, Any],
) -> None:
    members = group_of(32)
    members[5] = step("m5", parallel_group="g", **fields)

    header = header_of(plan_of(*members))

    assert [paths_of(m) for m in header if "m5" in paths_of(m)] == [["m5"]]
    every = [path for message in header for path in paths_of(message)]
    assert every == [f"m{n}" for n in range(32)]
    assert {message.task for message in header} == {RUN_STEP, RUN_STEPS}


@pytest.mark.parametrize("fields", [{"at_most_once": True}, {"timeout_ms": 999}])
def test_a_group_of_such_members_knows_no_batches(fields: dict[str, Any]) -> None:
    header = header_of(plan_of(*group_of(64, **fields)))

    assert {message.task for message in header} == {RUN_STEP}
    assert len(header) == 64


@pytest.mark.parametrize("manner", [{"recovery": True}, {"singly": True}])
def test_what_is_sent_again_travels_singly(manner: dict[str, Any]) -> None:
    header = header_of(plan_of(*group_of(64)), **manner)

    assert {message.task for message in header} == {RUN_STEP}
    assert [paths_of(message) for message in header] == [[f"m{n}"] for n in range(64)]


def test_few_members_that_are_left_of_many_travel_singly() -> None:
    left = {f"m{n}" for n in range(0, 150, 25)}

    header = header_of(plan_of(*group_of(200)), members=left)

    assert {path for message in header for path in paths_of(message)} == left
    assert {message.task for message in header} == {RUN_STEP}


def test_many_members_that_are_left_travel_in_batches_without_the_others() -> None:
    left = {f"m{n}" for n in range(0, 100, 2)}

    header = header_of(plan_of(*group_of(100)), members=left)

    assert [path for message in header for path in paths_of(message)] == [
        f"m{n}" for n in range(0, 100, 2)
    ]
    assert {message.task for message in header} == {RUN_STEPS, RUN_STEP} - (
        set() if len(paths_of(header[-1])) == 1 else {RUN_STEP}
    )


@pytest.mark.parametrize("delay_s", [0.0, 2.5])
def test_a_delay_is_that_of_every_message_that_is_sent_singly(delay_s: float) -> None:
    header = header_of(plan_of(*group_of(20)), singly=True, delay_s=delay_s)

    delays = {message.options.get("countdown", 0.0) for message in header}
    assert delays == {delay_s}


def test_a_delayed_chain_waits_with_its_first_message() -> None:
    sent = compiled(chain_of(3), 1, members={"s1"}, singly=True, delay_s=2.0)

    first, *rest = links_of(sent)
    assert first.options["countdown"] == 2.0
    assert [link.options.get("countdown") for link in rest] == [None] * len(rest)


def test_batches_make_a_group_lighter_and_grow_linearly() -> None:
    def weight(size: int, **manner: Any) -> int:
        header = header_of(plan_of(*group_of(size)), **manner)
        return sum(len(json.dumps(member)) for member in header)

    assert 1.9 < weight(2000) / weight(1000) < 2.2
    assert weight(1000) < weight(1000, singly=True) / 10


# --- how much it weighs ------------------------------------------------------------


def test_message_bytes_grow_linearly_with_the_length_of_a_chain() -> None:
    once, twice = total_bytes(chain_of(250)), total_bytes(chain_of(500))

    assert 1.9 < twice / once < 2.1


def test_no_message_of_a_chain_of_500_is_larger_than_a_window() -> None:
    largest = max(message_sizes(chain_of(500)))

    assert largest < 500 * (WINDOW + 2)


def test_message_bytes_grow_linearly_with_the_size_of_a_group() -> None:
    def weight(size: int) -> int:
        sent = compiled(plan_of(*group_of(size)), singly=True)
        body = len(json.dumps(sent.body))
        return sum((len(json.dumps(member)) + body for member in sent.tasks), 0)

    assert 1.9 < weight(400) / weight(200) < 2.1


def total_bytes(plan: Plan) -> int:
    return sum(message_sizes(plan))


def message_sizes(plan: Plan) -> Iterator[int]:
    """Weigh each message as it is sent: itself, and the rest of its chain."""
    index: int | None = 0
    while index is not None:
        links = links_of(compiled(plan, index))
        links[0].options.pop("chain", None)  # it is what stands behind it
        for place in range(len(links)):
            yield len(json.dumps(links[place:]))
        index = links[-1].kwargs.get("block")


# --- executions that are launched together ------------------------------------------


def addresses(number: int) -> list[Address]:
    return [replace(ADDRESS, execution=f"e{n}") for n in range(number)]


def convoys(number: int, plan: Plan | None = None) -> list[Signature[Any]]:
    return canvas.together(plan or chain_of(3), addresses(number), cpu)


@pytest.mark.parametrize("number", [0, 1, 2, 2 * SPREAD - 1])
def test_few_executions_do_not_travel_together(number: int) -> None:
    assert convoys(number) == []


@pytest.mark.parametrize("number", [2 * SPREAD, 40, 200, 1000])
def test_the_more_executions_the_more_travel_in_a_message_up_to_a_limit(
    number: int,
) -> None:
    sizes = [len(message.kwargs["executions"]) for message in convoys(number)]

    assert max(sizes) == min(COMPANY, number // SPREAD)
    assert sum(sizes) == number
    assert len(sizes) >= SPREAD
    assert set(sizes[:-1]) <= {max(sizes)}


@pytest.mark.parametrize("number", [2 * SPREAD, 2 * SPREAD + 1, 16, 200, 1000])
def test_every_execution_sets_out_once_and_in_its_order(number: int) -> None:
    listed = [one for m in convoys(number) for one in m.kwargs["executions"]]

    assert listed == [address.execution for address in addresses(number)]


def test_a_convoys_message_carries_ids_and_numbers_only() -> None:
    first = convoys(2 * SPREAD)[0]

    assert first.task == RUN_TOGETHER
    assert first.kwargs == {
        "executions": ["e0", "e1"],
        "version": ADDRESS.version,
        "epoch": ADDRESS.epoch,
        "path": "s0",
    }
    assert (first.args, first.immutable) == ((), True)
    assert "chain" not in first.options


def test_a_convoy_is_sent_and_killed_as_its_first_step_is() -> None:
    plan = plan_of(step("a", timeout_ms=5_000), step("b", timeout_ms=90_000))

    for message in convoys(200, plan):
        assert message.options["queue"] == "cpu"
        assert message.options["time_limit"] == 5 + signatures.HARD_LIMIT_GRACE_S


@pytest.mark.parametrize("fields", [{"at_most_once": True}, {"timeout_ms": 999}])
def test_executions_whose_first_step_nobody_may_stand_before_travel_alone(
    fields: dict[str, Any],
) -> None:
    assert convoys(200, plan_of(step("a", **fields), step("b"))) == []


def test_executions_that_begin_with_a_group_travel_alone() -> None:
    assert convoys(200, plan_of(*group_of(3), step("after"))) == []
    assert convoys(200, plan_of(*group_of(1), step("after"))) == []


def test_executions_that_begin_in_the_other_pool_travel_together_there() -> None:
    plan = plan_of(step("io1"), step("b"))

    messages = canvas.together(plan, addresses(200), by_key)

    assert {message.task for message in messages} == {RUN_TOGETHER}
    assert {message.options["queue"] for message in messages} == {"io"}
    assert [len(message.kwargs["executions"]) for message in messages] == [25] * 8


@pytest.mark.parametrize(
    "second",
    [step("io1"), step("b", at_most_once=True), step("b", parallel_group="g")],
)
def test_only_the_first_block_decides_who_sets_out_together(
    second: dict[str, Any],
) -> None:
    plan = plan_of(step("a"), second)

    assert len(canvas.together(plan, addresses(200), by_key)) == 8
