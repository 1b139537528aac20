"""What is done when an orchestration fails: its own list, of the same name space."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.definition import parse, to_json
from tests.unit.core_orchestration.definitions import (
    approval,
    details,
    each,
    found,
    loop,
    orchestration,
    route,
    step,
    wait,
)

AT = "/on_failure/0"


def after(*steps: Any, **fields: Any) -> dict[str, Any]:
    """Write an orchestration that has much to read from, and these steps after it."""
    work = [
        step("fetch", output_mapping={"page": "{{ output }}"}),
        loop(step("draft"), key="refine"),
        step("last", on_error="continue"),
    ]
    return orchestration(*work, **{"on_failure": list(steps), **fields})


def reading(template: Any, key: str = "tell", **fields: Any) -> dict[str, Any]:
    return step(key, input_mapping=template, **fields)


@pytest.mark.parametrize(
    "template",
    [
        "{{ context.failure }}",
        "{{ context.failure.step_key }} {{ context.failure.attempt }}",
        "{{ context.failure.type }}: {{ context.failure.message }}",
        "{{ context.input.x }}",
        "{{ context.fetch.title }} {{ context.page }} {{ context.refine }}",
        "{{ context.last }} {{ context.errors.last.message }}",
        "{{ output | default('nothing') }}",
    ],
)
def test_it_reads_the_failure_and_all_that_had_come_to_be(template: str) -> None:
    assert found(after(reading(template))) == []
    assert found(after(each(loop(reading(template))))) == []


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [step("a"), reading("{{ context.a }} {{ output }}")],
        [loop(step("a"), reading("{{ context.a }}"))],
        [route(step("a"), step("b")), wait(duration_ms=5), approval()],
        [step("a", parallel_group="g"), step("b", parallel_group="g")],
        [{"key": "halt", "step_type": "stop"}],
    ],
)
def test_it_holds_steps_of_all_types(steps: list[Any]) -> None:
    assert found(after(*steps)) == []


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ context.failure.reason }}", "unknown_reference"),
        ("{{ failure.type }}", "unknown_reference"),
        ("{{ context.nope }}", "unknown_reference"),
        ("{{ context.draft }}", "inner_reference"),
        ("{{ context.errors.fetch }}", "unknown_reference"),
        ("{{ context.tell }}", "self_reference"),
        ("{{ context.later }}", "forward_reference"),
        ("{{ output }}", "no_previous_output"),
        ("{{ item }}", "unknown_reference"),
        ("{{", "template_syntax"),
    ],
)
def test_what_cannot_be_read_there_is_refused(template: str, code: str) -> None:
    problems = found(after(reading(template), step("later")))
    assert problems == [(AT + "/input_mapping", code)]


@pytest.mark.parametrize("holder", [loop, each, route])
def test_context_failure_is_there_in_on_failure_alone(holder: Any) -> None:
    read = reading("{{ context.failure.type }}")
    document = orchestration(holder(read))
    assert found(document) == [("/steps/0/steps/0/input_mapping", "unknown_reference")]
    assert "only there in the steps of on_failure" in details(document)
    output = orchestration(step("a"), output="{{ context.failure }}")
    assert found(output) == [("/output", "unknown_reference")]


@pytest.mark.parametrize("made", ["tell", "told", "deep"])
def test_what_is_made_on_failure_is_not_read_elsewhere(made: str) -> None:
    steps = [
        step("tell", output_mapping={"told": "{{ output }}"}),
        loop(step("deep"), key="insist"),
    ]
    template = f"{{{{ context.{made} }}}}"
    document = orchestration(reading(template, "early"), on_failure=steps)
    assert found(document) == [("/steps/0/input_mapping", "forward_reference")]
    assert "made by a step of on_failure" in details(document)
    document = after(*steps, output=template)
    assert found(document) == [("/output", "forward_reference")]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"key": "fetch"}, "/key", "duplicate_key"),
        ({"key": "draft"}, "/key", "duplicate_key"),
        ({"key": "failure"}, "/key", "reserved_key"),
        ({"output_mapping": {"fetch": 1}}, "/output_mapping/fetch", "duplicate_key"),
        ({"output_mapping": {"failure": 1}}, "/output_mapping/failure", "reserved_key"),
        ({"role_name": "writr"}, "/role_name", "unknown_role"),
        ({"branch": "x"}, "/branch", "unexpected_branch"),
        ({"milestone": "nope"}, "/milestone", "unknown_step"),
        ({"step_type": "loop"}, "/role_name", "unexpected_role"),
        ({"step_type": "brake"}, "/step_type", "unknown_step_type"),
        ({"on_failure": []}, "/on_failure", "unknown_field"),
    ],
)
def test_its_steps_are_checked_like_the_others(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert (AT + pointer, code) in found(after({**step("tell"), **fields}))


@pytest.mark.parametrize("nonsense", [None, {}, "abc", 1, True])
def test_it_is_a_list(nonsense: object) -> None:
    assert found(after(on_failure=nonsense)) == [("/on_failure", "wrong_type")]


@pytest.mark.parametrize("nonsense", [None, [], "abc", 1, True])
def test_what_is_no_step_is_refused(nonsense: object) -> None:
    assert found(after(nonsense)) == [(AT, "wrong_type")]


def test_a_group_does_not_reach_from_one_list_into_the_other() -> None:
    group = {"parallel_group": "g"}
    document = orchestration(step("a", **group), on_failure=[step("b", **group)])
    assert found(document) == []
    split = [step("b", **group), step("c"), step("d", **group)]
    document = orchestration(step("a"), on_failure=split)
    assert found(document) == [("/on_failure/2/parallel_group", "split_group")]


def test_the_steps_of_both_lists_are_counted() -> None:
    document = after(step("a"), step("b"))
    assert found(document, max_steps=6) == []
    assert found(document, max_steps=5) == [("/steps", "too_many_steps")]


def test_no_step_of_either_list_has_the_key_failure() -> None:
    assert found(orchestration(step("failure"))) == [("/steps/0/key", "reserved_key")]


def test_keys_made_of_names_are_unique_in_both_lists() -> None:
    document = {
        "steps": [{"name": "Tell"}, {"name": "Failure"}],
        "on_failure": [{"name": "Tell", "steps": [{"name": "Tell"}]}],
    }
    definition = parse(document)
    assert [step.key for step in definition.steps] == ["tell", "failure_2"]
    (tell,) = definition.on_failure
    assert (tell.key, tell.steps[0].key) == ("tell_2", "tell_3")


def test_it_is_written_and_read_back() -> None:
    document = after(step("b", order=2), step("a", order=1, milestone="fetch"))
    definition = parse(document)
    assert [step.key for step in definition.on_failure] == ["a", "b"]
    snapshot = to_json(definition)
    assert parse(snapshot) == definition
    assert to_json(parse(snapshot)) == snapshot


def test_a_snapshot_from_before_it_reads_as_without_any() -> None:
    snapshot = to_json(parse(orchestration(step("a"))))
    assert (snapshot["on_failure"], snapshot["limits"]) == ([], {})
    older = {
        name: value
        for name, value in snapshot.items()
        if name not in {"on_failure", "limits"}
    }
    older["steps"] = [
        {
            name: value
            for name, value in step.items()
            if name not in {"milestone", "compensate"}
        }
        for step in snapshot["steps"]
    ]
    assert to_json(parse(older)) == snapshot
