"""Basic control flow: one after the other, side by side, one of several."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.bodies import by_path, paths
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]


def test_in_a_sequence_each_step_begins_when_the_one_before_has_ended(
    pattern: Make,
) -> None:
    sequence = pattern("sequence")

    ended = sequence.run()

    assert paths(ended) == ["a", "b", "c"]
    assert sequence.spans.lines == [
        [what, who] for who in "abc" for what in ("begin", "end")
    ]


def test_a_parallel_split_has_all_its_threads_under_way_at_once(pattern: Make) -> None:
    split = pattern("parallel_split")
    execution = split.start()

    split.have_begun("a", "b", "c")
    assert split.spans.ended == ["first"]
    split.release()

    split.completed(execution)
    assert sorted(split.begun) == ["a", "b", "c", "first"]


def test_a_synchronisation_waits_for_the_last_of_its_threads(pattern: Make) -> None:
    joined = pattern("synchronisation")
    execution = joined.start()

    joined.have_begun("slow")
    joined.have_ended("quick")
    assert "after" not in paths(joined.system.execution(execution))
    joined.release()

    joined.completed(execution)
    assert joined.in_this_order("end quick", "end slow", "begin after")


@pytest.mark.parametrize(
    ("topic", "chosen"),
    [("billing", "refund"), ("broken", "repair"), ("praise", "answer")],
)
def test_an_exclusive_choice_runs_one_branch_and_no_other(
    pattern: Make, topic: str, chosen: str
) -> None:
    choice = pattern("exclusive_choice")

    ended = choice.run(topic=topic)

    assert choice.begun == [chosen]
    assert paths(ended) == ["choose", f"choose[{chosen}]/{chosen}"]
    assert by_path(ended, "input")["choose"] == {"branches": [chosen]}


@pytest.mark.parametrize(("pay_by", "chosen"), [("card", "card"), ("post", "bill")])
def test_a_simple_merge_goes_on_once_whichever_branch_ran(
    pattern: Make, pay_by: str, chosen: str
) -> None:
    merge = pattern("simple_merge")

    merge.run(pay_by=pay_by)

    assert merge.spans.lines == [
        [what, who] for who in (chosen, "ship") for what in ("begin", "end")
    ]
