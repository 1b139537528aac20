"""What is withdrawn while it is under way: a step, a region, instances, everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.acceptance.bodies import by_path, seen_at, steer
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]
DONE, WORKING = {"who": "done", "seconds": 0}, {"who": "working", "seconds": 60}


def inside(ended: Mapping[str, Any], path: str) -> set[str]:
    """Return the statuses of what ran below a path."""
    found = by_path(ended, "status")
    return {found[one] for one in found if one.startswith((f"{path}/", f"{path}["))}


def test_a_cancelled_task_ends_alone_and_the_execution_goes_on(pattern: Make) -> None:
    task = pattern("cancel_task")
    execution = task.start()
    task.have_begun("work")
    seen_at(task.system, execution, "task[withdrawn]/withdrawn", "waiting")

    task.signal(execution, "task.withdrawn")

    found = by_path(task.completed(execution), "status")
    assert found["task[work]/work"] == "cancelled"
    assert found["task"] == found["after"] == "completed"
    assert task.begun == ["work", "after"]
    task.have_ended("work")


def test_a_task_that_nobody_withdraws_ends_by_itself(pattern: Make) -> None:
    task = pattern("cancel_task")
    execution = task.start()
    task.have_begun("work")

    task.release()

    found = by_path(task.completed(execution), "status")
    assert found["task[work]/work"] == "completed"
    assert found["task[withdrawn]/withdrawn"] == "cancelled"


def test_a_cancelled_case_stops_all_that_runs_and_begins_nothing_more(
    pattern: Make,
) -> None:
    case = pattern("cancel_case")
    execution = case.start()
    case.have_begun("a", "b1", "b2")

    steer(case.system, execution, "cancel")

    ended = case.system.finished(execution)
    assert ended["status"] == "cancelled"
    assert set(by_path(ended, "status").values()) == {"cancelled"}
    case.have_ended("a", "b1", "b2")
    assert "after" not in case.begun


def test_a_cancelled_region_leaves_what_is_outside_alone(pattern: Make) -> None:
    region = pattern("cancel_region")
    execution = region.start(seconds=60)
    region.have_begun("a", "b", "outside")
    waits = "all[guarded]/guarded[withdrawn]/withdrawn"
    seen_at(region.system, execution, waits, "waiting")

    region.signal(execution, "region.withdrawn")

    region.have_ended("a", "b")
    going_on = seen_at(region.system, execution, "all[guarded]/guarded", "completed")
    assert inside(going_on, "all[guarded]/guarded[region]") == {"cancelled"}
    assert by_path(going_on, "status")["all[outside]/outside"] == "running"
    assert region.spans.ended.count("outside") == 0
    region.release()

    ended = region.completed(execution)
    assert by_path(ended, "status")["all[outside]/outside"] == "completed"
    assert sorted(region.begun) == ["a", "after", "b", "outside"]


def test_cancelled_instances_are_those_that_have_not_ended(pattern: Make) -> None:
    reviews = pattern("cancel_instances")
    execution = reviews.start(instances=[DONE, WORKING])
    reviews.have_begun("working")
    seen_at(reviews.system, execution, "reviews[withdrawn]/withdrawn", "waiting")
    instances = "reviews[instances]/instances"
    seen_at(reviews.system, execution, f"{instances}[0]/work", "completed")

    reviews.signal(execution, "reviews.withdrawn")

    found = by_path(reviews.completed(execution), "status")
    assert found[f"{instances}[0]/work"] == "completed"
    assert found[f"{instances}[1]/work"] == found[instances] == "cancelled"
    assert found["after"] == "completed"
    assert "report" not in reviews.begun
    reviews.have_ended("working")


def test_instances_are_complete_when_so_many_have_ended(pattern: Make) -> None:
    reviews = pattern("complete_instances")

    ended = reviews.run(instances=[DONE, WORKING, DONE])

    found = by_path(ended, "status")
    assert by_path(ended, "output")["reviews"] == {
        "instances": ["done", "done"],
        "enough": None,
    }
    working = found.get("reviews[instances]/instances[1]/work", "cancelled")
    assert working == found["reviews[enough]/enough"] == "cancelled"
    assert reviews.begun.count("after") == 1


def test_instances_are_complete_when_an_event_says_so(pattern: Make) -> None:
    reviews = pattern("complete_instances")
    execution = reviews.start(instances=[DONE, WORKING, WORKING])
    reviews.have_begun("done", "working")
    seen_at(reviews.system, execution, "reviews[enough]/enough", "waiting")
    instances = "reviews[instances]/instances"
    seen_at(reviews.system, execution, f"{instances}[0]/work", "completed")

    reviews.signal(execution, "reviews.enough", {"by": "ada"})

    ended = reviews.completed(execution)
    assert by_path(ended, "status")[f"{instances}[0]/work"] == "completed"
    assert by_path(ended, "output")[f"{instances}[0]/work"] == "done"
    assert by_path(ended, "status")[f"{instances}[1]/work"] == "cancelled"
    assert by_path(ended, "output")["reviews"] == {
        "instances": None,
        "enough": {"by": "ada"},
    }
    assert reviews.begun.count("after") == 1
