"""What depends on how far others are: choices by the world, milestones, exclusion."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.acceptance.bodies import by_path, paths, seen_at
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]
AN_HOUR = 3_600_000


def at_once(*calls: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()


# --- deferred choice ------------------------------------------------------------------


def undecided(choice: Pattern, patience_ms: int) -> str:
    """Start it, and wait until all that may happen is waited for."""
    execution = choice.start(patience_ms=patience_ms)
    for key in ("paid", "allowed", "late"):
        seen_at(choice.system, execution, f"choice[{key}]/{key}", "waiting")
    assert choice.begun == []
    return execution


def decided(choice: Pattern, execution: str, winner: str, then: str) -> dict[str, Any]:
    """Wait for the end; the others were cancelled, and one way was gone."""
    ended = choice.completed(execution)
    found = by_path(ended, "status")
    wanted = dict.fromkeys(("paid", "allowed", "late"), "cancelled")
    wanted[winner] = "completed"
    assert {key: found[f"choice[{key}]/{key}"] for key in wanted} == wanted
    assert choice.begun == [then]
    return ended


def question(choice: Pattern, execution: str) -> str:
    path = f"approvals/?execution={execution}"
    (only,) = choice.system.get(path)["results"]
    return str(only["id"])


def test_a_deferred_choice_is_made_by_an_event(pattern: Make) -> None:
    choice = pattern("deferred_choice")
    execution = undecided(choice, AN_HOUR)
    asked = question(choice, execution)

    choice.signal(execution, "order.paid", {"amount": 3})

    ended = decided(choice, execution, "paid", "ship")
    assert by_path(ended, "output")["choice"]["paid"] == {"amount": 3}
    assert choice.system.get(f"approvals/{asked}/")["status"] == "withdrawn"
    answer = choice.system.client.post(f"approvals/{asked}/approve/", json={})
    assert answer.status_code == 409


def test_a_deferred_choice_is_made_by_a_person(pattern: Make) -> None:
    choice = pattern("deferred_choice")
    execution = undecided(choice, AN_HOUR)

    path = f"approvals/{question(choice, execution)}/approve/"
    choice.system.post(path, {}, status=200)

    decided(choice, execution, "allowed", "lend")


def test_a_deferred_choice_is_made_by_the_clock(pattern: Make) -> None:
    choice = pattern("deferred_choice")
    execution = undecided(choice, 4_000)

    decided(choice, execution, "late", "remind")


def decided_by_two(choice: Pattern) -> dict[str, Any]:
    """Have a payment and an answer come at once; return how it ended."""
    execution = choice.start(patience_ms=AN_HOUR)
    for key in ("paid", "allowed"):
        seen_at(choice.system, execution, f"choice[{key}]/{key}", "waiting")
    answer = f"approvals/{question(choice, execution)}/approve/"
    payment = {"name": "order.paid", "payload": "paid"}
    post = choice.system.client.post
    at_once(
        partial(post, answer, json={}),
        partial(post, f"executions/{execution}/signal/", json=payment),
    )
    return choice.completed(execution)


def test_a_deferred_choice_goes_one_way_when_two_things_happen_at_once(
    pattern: Make,
) -> None:
    choice = pattern("deferred_choice")
    for round_ in range(5):
        found = by_path(decided_by_two(choice), "status")

        assert len(choice.begun) == round_ + 1
        won = {"ship": "paid", "lend": "allowed"}[choice.begun[-1]]
        assert found[f"choice[{won}]/{won}"] == "completed"
        assert found["choice[late]/late"] == "cancelled"


def test_of_what_happens_at_the_same_moment_one_counts_and_one_is_cancelled(
    pattern: Make,
) -> None:
    choice = pattern("deferred_choice")
    for _ in range(20):
        ended = decided_by_two(choice)

        found, output = by_path(ended, "status"), by_path(ended, "output")["choice"]
        done = {key: found[f"choice[{key}]/{key}"] for key in ("paid", "allowed")}
        assert sorted(done.values()) == ["cancelled", "completed"]
        for key, status in done.items():
            assert (output[key] is None) == (status == "cancelled")


# --- milestone ------------------------------------------------------------------------


def test_a_milestone_that_is_not_past_lets_its_step_run(pattern: Make) -> None:
    order = pattern("milestone")
    execution = order.start()
    order.signal(execution, "change.wanted")
    order.have_ended("change")
    assert "ship" not in order.begun

    order.signal(execution, "order.packed")

    order.completed(execution)
    assert order.begun == ["change", "ship"]


def test_a_milestone_that_is_past_keeps_its_step_from_running(pattern: Make) -> None:
    order = pattern("milestone")
    execution = order.start()
    order.signal(execution, "order.packed")
    order.have_begun("ship")

    order.signal(execution, "change.wanted")

    found = by_path(order.completed(execution), "status")
    assert found["order[change]/change_wanted"] == "completed"
    assert found["order[change]/change"] == "skipped"
    assert order.begun == ["ship"]


def test_a_milestone_holds_when_both_come_at_once(pattern: Make) -> None:
    order = pattern("milestone")
    for _ in range(5):
        execution = order.start()
        for path in ("order[change]/change_wanted", "order[ship]/packed"):
            seen_at(order.system, execution, path, "waiting")

        at_once(
            partial(order.signal, execution, "change.wanted"),
            partial(order.signal, execution, "order.packed"),
        )

        ended = order.completed(execution)
        began = by_path(ended, "started_at")
        if by_path(ended, "status")["order[change]/change"] == "completed":
            assert began["order[change]/change"] <= began["order[ship]/ship"]


# --- one at a time --------------------------------------------------------------------


def test_interleaved_routing_runs_each_once_and_never_two_at_once(
    pattern: Make,
) -> None:
    checks = pattern("interleaved_routing")

    checks.run()

    assert sorted(checks.begun[:-1]) == ["blood", "ears", "eyes"]
    assert checks.begun[-1] == "after"
    assert checks.spans.most_at_once == 1


def test_interleaved_parallel_routing_keeps_the_order_of_each_branch(
    pattern: Make,
) -> None:
    visits = pattern("interleaved_parallel_routing")

    visits.run()

    assert visits.spans.most_at_once == 1
    for who in ("doctor", "dentist"):
        assert visits.in_this_order(f"end see_{who}", f"begin pay_{who}")
    assert len(visits.begun) == 5
    assert visits.begun[-1] == "after"


def test_a_critical_section_is_entered_by_one_thread_at_a_time(pattern: Make) -> None:
    section = pattern("critical_section")
    execution = section.start()

    section.have_begun("prepare_a", "prepare_b")
    assert section.spans.ended == []
    section.release()

    ended = section.completed(execution)
    lines = [" ".join(line) for line in section.spans.lines]
    guarded = [line for line in lines if "open" in line or "close" in line]
    both = [
        [
            f"{what} {step}_{who}"
            for step in ("open", "close")
            for what in ("begin", "end")
        ]
        for who in "ab"
    ]
    assert guarded in (both[0] + both[1], both[1] + both[0])
    assert paths(ended)[-2:] == [
        "behind[finish_a]/finish_a",
        "behind[finish_b]/finish_b",
    ]
