"""Choices of several branches, and joins that wait for some of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.bodies import by_path, paths
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]


@pytest.mark.parametrize("wanted", [["fire"], ["police", "ambulance"]])
def test_a_multi_choice_runs_those_that_are_wanted_at_once(
    pattern: Make, wanted: list[str]
) -> None:
    choice = pattern("multi_choice")
    execution = choice.start(wanted=wanted)

    choice.have_begun(*wanted)
    assert choice.spans.ended == []
    choice.release()

    ended = choice.completed(execution)
    assert sorted(choice.begun) == sorted(wanted)
    assert paths(ended) == ["inform", *(f"inform[{one}]/{one}" for one in wanted)]


@pytest.mark.parametrize(
    "wanted", [["quick"], ["quick", "slow"], ["quick", "slow", "slower"]]
)
def test_a_synchronising_merge_waits_for_those_that_were_chosen(
    pattern: Make, wanted: list[str]
) -> None:
    merge = pattern("structured_synchronising_merge")
    execution = merge.start(wanted=wanted)

    merge.have_begun(*wanted)
    merge.have_ended("quick")
    if len(wanted) > 1:
        assert "after" not in paths(merge.system.execution(execution))
        merge.release()

    merge.completed(execution)
    assert sorted(merge.begun) == sorted([*wanted, "after"])
    assert merge.spans.lines[-2:] == [["begin", "after"], ["end", "after"]]
    assert sorted(merge.spans.ended[:-1]) == sorted(wanted)


def test_a_multi_merge_lets_each_thread_through_by_itself(pattern: Make) -> None:
    merge = pattern("multi_merge")
    execution = merge.start(ways=["road", "rail", "road"])

    merge.have_begun("rail")
    road = "report on road"
    merge.have_ended(road)
    assert "report on rail" not in merge.begun
    merge.release()

    ended = merge.completed(execution)
    assert sorted(merge.begun) == sorted(
        ["road", "rail", "road", road, "report on rail", road]
    )
    reports = [path for path in paths(ended) if path.endswith("/report")]
    assert reports == [f"ways[{n}]/report" for n in range(3)]


def test_a_structured_discriminator_goes_on_once_after_the_first(
    pattern: Make,
) -> None:
    first = pattern("structured_discriminator")
    execution = first.start()

    first.have_begun("quick", "slow", "slower")
    assert first.spans.ended == []
    first.release("Colleague")

    ended = first.completed(execution)
    first.release()
    outputs = {"quick": "quick", "slow": None, "slower": None}
    assert by_path(ended, "output")["first"] == outputs
    assert first.begun.count("after") == 1
    assert first.in_this_order("end quick", "begin after")


def test_a_structured_partial_join_goes_on_once_after_two_of_three(
    pattern: Make,
) -> None:
    two = pattern("structured_partial_join")
    execution = two.start()

    two.have_begun("quick", "quicker", "slow")
    assert two.spans.ended == []
    two.release("Colleague")

    ended = two.completed(execution)
    two.release()
    outputs = {"quick": "quick", "quicker": "quicker", "slow": None}
    assert by_path(ended, "output")["two"] == outputs
    assert two.begun.count("after") == 1
    assert two.in_this_order("end quick", "begin after")
    assert two.in_this_order("end quicker", "begin after")


def test_a_cancelling_discriminator_stops_the_others_with_all_they_hold(
    pattern: Make,
) -> None:
    first = pattern("cancelling_discriminator")
    execution = first.start()

    first.have_begun("quick", "slow", "left", "right")
    first.release("Colleague")

    found = by_path(first.completed(execution), "status")
    first.have_ended("quick", "slow", "left", "right")
    assert found == {
        "first": "completed",
        "first[quick]/quick": "completed",
        "first[slow]/slow": "cancelled",
        "first[slower]/slower": "cancelled",
        "first[slower]/slower[left]/left": "cancelled",
        "first[slower]/slower[right]/right": "cancelled",
        "after": "completed",
    }
    assert sorted(first.begun) == ["after", "left", "quick", "right", "slow"]


def test_a_cancelling_partial_join_stops_those_that_are_left(pattern: Make) -> None:
    two = pattern("cancelling_partial_join")
    execution = two.start()

    two.have_begun("quick", "quicker", "slow", "slower")
    two.release("Colleague")

    found = by_path(two.completed(execution), "status")
    two.have_ended("slow", "slower")
    assert found == {
        "two": "completed",
        "two[quick]/quick": "completed",
        "two[quicker]/quicker": "completed",
        "two[slow]/slow": "cancelled",
        "two[slower]/slower": "cancelled",
        "after": "completed",
    }
    assert sorted(two.begun) == ["after", "quick", "quicker", "slow", "slower"]
