"""Many instances of the same: how many, and who waits for how many of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.bodies import by_path, paths
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]
NAMES = ["ada", "bob", "eve"]


def quick(who: str) -> dict[str, Any]:
    return {"who": who, "seconds": 0.5}


def slow(who: str) -> dict[str, Any]:
    return {"who": who, "seconds": 60}


def test_instances_without_synchronisation_outlive_what_started_them(
    pattern: Make,
) -> None:
    instances = pattern("instances_without_synchronisation")

    ended = instances.run(names=NAMES)

    started = instances.children(ended["id"])
    assert len(started) == 3
    instances.have_begun(*NAMES, "after")
    assert instances.spans.ended == ["after"]
    assert not {"completed", "cancelled"} & {one["status"] for one in started}
    instances.release()
    for one in started:
        instances.completed(one["id"])
    assert sorted(instances.spans.ended) == sorted([*NAMES, "after"])


def test_instances_known_at_design_time_run_at_once_and_are_waited_for(
    pattern: Make,
) -> None:
    instances = pattern("instances_known_at_design_time")
    execution = instances.start()

    instances.have_begun(*NAMES)
    assert instances.spans.ended == []
    instances.release()

    ended = instances.completed(execution)
    assert by_path(ended, "output")["reviews"] == NAMES
    assert instances.begun[-1] == "after"
    assert sorted(instances.begun) == sorted([*NAMES, "after"])


@pytest.mark.parametrize("count", [0, 1, 5])
def test_instances_known_at_run_time_are_as_many_as_the_data_say(
    pattern: Make, count: int
) -> None:
    instances = pattern("instances_known_at_run_time")
    names = [f"reviewer{n}" for n in range(count)]
    execution = instances.start(names=names)

    instances.have_begun(*names)
    assert set(instances.spans.ended) <= ({"before"} if count else {"before", "after"})
    instances.release()

    ended = instances.completed(execution)
    assert by_path(ended, "output")["reviews"] == names
    assert instances.begun[0] == "before"
    assert sorted(instances.begun[1:-1]) == names
    assert instances.begun[-1] == "after"


def page(name: str, *links: dict[str, Any]) -> dict[str, Any]:
    return {"page": name, "links": list(links)}


def test_instances_not_known_before_are_started_until_there_are_no_more(
    pattern: Make,
) -> None:
    instances = pattern("instances_not_known_before")
    site = [page("home", page("a", page("a1"), page("a2")), page("b")), page("legal")]

    ended = instances.run(pages=site)

    rounds = [{"home", "legal"}, {"a", "b"}, {"a1", "a2"}]
    begun = instances.begun
    assert [set(begun[n : n + 2]) for n in (0, 2, 4)] == rounds
    assert begun[6:] == ["after"]
    children = instances.children(ended["id"])
    assert [one["status"] for one in children] == ["completed"] * 6
    assert [path for path in paths(ended) if path.endswith("/found")] == [
        f"rounds[{n}]/found" for n in range(3)
    ]


def test_a_partial_join_of_instances_goes_on_once_after_so_many(pattern: Make) -> None:
    join = pattern("static_partial_join_for_instances")
    given = [slow("s0"), quick("q1"), slow("s2"), quick("q3")]

    ended = join.run(instances=given)

    assert by_path(ended, "output")["two"] == ["q1", "q3"]
    assert join.begun.count("after") == 1
    assert join.in_this_order("end q1", "begin after")
    assert join.in_this_order("end q3", "begin after")


def test_a_cancelling_partial_join_of_instances_stops_the_others(pattern: Make) -> None:
    join = pattern("cancelling_partial_join_for_instances")
    given = [slow("s0"), quick("q1"), quick("q2"), slow("s3"), slow("s4"), slow("s5")]

    ended = join.run(instances=given)

    found = by_path(ended, "status")
    assert found["two"] == found["after"] == "completed"
    assert by_path(ended, "output")["two"] == ["behind q1", "behind q2"]
    assert found["two[0]/work"] == "cancelled"
    others = {found[path] for path in found for n in (3, 4, 5) if f"two[{n}]" in path}
    assert others <= {"cancelled"}
    assert not {"s5", "behind s0", "behind s3", "behind s4"} & set(join.begun)
    join.have_ended(*join.begun)


def test_a_thread_split_lets_each_thread_go_at_its_own_speed(pattern: Make) -> None:
    split = pattern("thread_split")
    execution = split.start(threads=[slow("x"), quick("y"), quick("z")])

    split.have_ended("two y", "two z")
    split.have_begun("one x")
    assert "two x" not in split.begun
    split.release()

    split.completed(execution)
    assert sorted(split.begun) == sorted(
        f"{step} {thread}" for step in ("one", "two") for thread in "xyz"
    )


def test_a_thread_merge_makes_one_thread_of_many(pattern: Make) -> None:
    merge = pattern("thread_merge")
    execution = merge.start(threads=[slow("x"), quick("y"), quick("z")])

    merge.have_begun("x")
    merge.have_ended("y", "z")
    assert "after" not in paths(merge.system.execution(execution))
    merge.release()

    merge.completed(execution)
    assert sorted(merge.begun) == ["after", "x", "y", "z"]
    assert merge.begun[-1] == "after"
