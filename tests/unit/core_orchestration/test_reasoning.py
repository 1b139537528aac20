"""Patterns are written out as ordinary steps; nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core_orchestration.definition import Step, parse, to_json
from core_orchestration.keys import KEY_PATTERN, walk
from core_orchestration.reasoning import expand, expanded, made_keys, roles_of
from tests.unit.core_orchestration.definitions import loop, step
from tests.unit.core_orchestration.reasoning import ACCEPT, WHOLE, pattern

KINDS = sorted(WHOLE)


def parsed(kind: str, fields: dict[str, Any] | None = None, **config: Any) -> Step:
    (found,) = parse({"steps": [{**pattern(kind, **config), **(fields or {})}]}).steps
    return found


def outline(step: Step) -> Any:
    """Say which steps there are: a role by its name, all others by their type."""
    what = step.role_name or step.step_type
    return {what: [outline(each) for each in step.steps]} if step.steps else what


def inside(block: Step) -> dict[str, Step]:
    """Map what each step of a pattern does to the step, at any depth."""
    return {each.key.removeprefix("it_"): each for each in _all(block)}


def _all(holder: Step) -> Iterator[Step]:
    for each in holder.steps:
        yield each
        yield from _all(each)


@pytest.mark.parametrize(
    ("kind", "config", "steps"),
    [
        (
            "planner_executor_reviewer",
            {},
            ["reckon", "writer", {"loop": ["reader", "writer", "reckon", "reckon"]}],
        ),
        (
            "planner_executor_reviewer",
            {"on_limit": "fail"},
            [
                "reckon",
                "writer",
                {"loop": ["reader", "writer", "reckon", "reckon"]},
                "reckon",
            ],
        ),
        ("map_reduce", {}, [{"map": ["writer"]}, "reader"]),
        (
            "tree_of_thoughts",
            {},
            [
                "reckon",
                {"loop": ["reckon", {"map": ["writer", "reader", "reckon"]}, "reckon"]},
                "reckon",
            ],
        ),
        (
            "debate",
            {},
            ["reckon", {"loop": ["writer", "reader", "reckon"]}, "reckon"],
        ),
        (
            "debate",
            {"judge": "judge"},
            ["reckon", {"loop": ["writer", "reader", "reckon"]}, "judge", "reckon"],
        ),
        ("vote", {}, ["reckon", {"map": ["writer"]}, "reckon"]),
        (
            "vote",
            {"tie_break": "role", "tie_breaker": "reader"},
            ["reckon", {"map": ["writer"]}, "reckon", "reader", "reckon"],
        ),
    ],
)
def test_a_pattern_is_a_block_of_ordinary_steps(
    kind: str, config: dict[str, Any], steps: list[Any]
) -> None:
    assert outline(expand(parsed(kind, **config))) == {"branch": steps}


@pytest.mark.parametrize("kind", KINDS)
def test_the_block_stands_where_the_pattern_stood(kind: str) -> None:
    kept = {
        "key": "it",
        "name": "It",
        "description": "What it is for.",
        "order": 7,
        "condition": ACCEPT,
        "parallel_group": "g",
        "branch": "b",
        "milestone": "m",
        "on_error": "continue",
        "output_mapping": {"x": "{{ output }}"},
    }
    block = expand(parsed(kind, kept))

    assert {name: getattr(block, name) for name in kept} == kept
    assert list(block.branches) == ["run"]
    assert block.config == {"else": "run"}


@pytest.mark.parametrize("kind", KINDS)
def test_retries_and_time_limits_are_those_of_the_calls(kind: str) -> None:
    said = {
        "max_retries": 3,
        "retry_delay_ms": 4,
        "retry_backoff": 2.0,
        "retry_max_delay_ms": 5,
        "retry_jitter": True,
        "timeout_ms": 6,
        "total_timeout_ms": 7,
        "queue_timeout_ms": 8,
        "at_most_once": True,
    }
    unsaid = {name: getattr(Step(key="x", name="x"), name) for name in said}
    block = expand(parsed(kind, said))

    for one in (block, *inside(block).values()):
        found = {name: getattr(one, name) for name in said}
        assert found == (said if one.has_role else unsaid)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_made_of_the_patterns_key_and_fit(kind: str) -> None:
    long = "k" * 64
    for key in ("it", long):
        keys = made_keys(parsed(kind, {"key": key}))
        assert len(set(keys)) == len(keys)
        assert key not in keys
        assert all(each.startswith(key[:40]) for each in keys)
        assert all(KEY_PATTERN.fullmatch(each) for each in keys)


def test_patterns_are_expanded_at_any_depth_and_after_a_failure() -> None:
    document = {
        "steps": [step("a"), loop(loop(pattern("vote"), key="inner"))],
        "on_failure": [{**pattern("debate"), "key": "after"}],
    }
    definition = parse(document)
    found = expanded(definition)

    assert found.steps[0] == definition.steps[0]
    assert outline(found.steps[1]) == {
        "loop": [{"loop": [{"branch": ["reckon", {"map": ["writer"]}, "reckon"]}]}]
    }
    assert found.on_failure[0].step_type == "branch"
    assert expanded(found) == found
    written = [each["step_type"] for each in walk(to_json(definition)["steps"])]
    assert written == ["sequential", "loop", "loop", "vote"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_role_does_the_pattern_itself(kind: str) -> None:
    assert not parsed(kind).has_role
    assert {name for _, name in roles_of(parsed(kind))} <= {"writer", "reader"}


def test_a_role_is_named_by_its_name_or_in_an_object() -> None:
    voters = ["writer", {"role_name": "writer"}, {"role_id": "an id"}]
    calls = [inside(expand(parsed("vote", voter=each)))["sample"] for each in voters]

    assert [each.role_name for each in calls] == ["writer", "writer", None]
    assert calls[2].role_id == "an id"


def test_the_task_is_the_input_or_what_came_before() -> None:
    task = inside(expand(parsed("vote")))["task"]
    given = inside(expand(parsed("vote", {"input_mapping": {"q": 1}})))["task"]

    assert task.config["arguments"] == "{{ output }}"
    assert given.config["arguments"] == {"q": 1}


@pytest.mark.parametrize(("sent", "turns"), [(None, 4), (0, 1), (5, 6)])
def test_the_executor_has_one_turn_more_than_revisions(
    sent: int | None, turns: int
) -> None:
    steps = inside(expand(parsed("planner_executor_reviewer", max_revisions=sent)))

    assert steps["revisions"].config["max_iterations"] == turns
    assert steps["accepted"].condition == ACCEPT


def test_a_map_reduce_hands_its_limits_on_and_needs_no_task() -> None:
    limits: dict[str, Any] = {"max_parallel": 3, "item_errors": "drop"}
    steps = inside(expand(parsed("map_reduce", **limits)))
    assert steps["items"].config == {"items": [1, 2], **limits}
    assert steps["map"].input_mapping is None
    assert steps["reduce"].input_mapping == {"results": "{{ output }}"}

    steps = inside(expand(parsed("map_reduce", {"input_mapping": "{{ output }}"})))
    given = {"task": "{{ output }}", "items": [1, 2]}
    assert steps["given"].config["arguments"] == given
    assert steps["items"].config == {"items": "{{ context.it_given.items }}"}


@pytest.mark.parametrize(("samples", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_a_quorum_is_more_than_half(samples: int, quorum: int) -> None:
    steps = inside(expand(parsed("vote", samples=samples)))

    assert steps["tally"].config["arguments"]["quorum"] == quorum
    assert steps["samples"].config["items"] == list(range(1, samples + 1))
    assert steps["samples"].config["max_parallel"] == samples
