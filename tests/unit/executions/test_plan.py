"""Plans: what a step's templates need to be read before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from executions.plan import Needs, PlannedStep, roles_named, scope_of
from tests.unit.executions.plans import plan_of, step


def planned(**fields: Any) -> PlannedStep:
    """Plan the last of three steps; the first one exports `total` and `shared`."""
    plan = plan_of(
        step("one", output_mapping={"total": "{{ output.n }}", "shared": 1}),
        step("two", output_mapping={"shared": 2}),
        step("three", **fields),
    )
    return plan.steps[2]


# --- before it runs ---------------------------------------------------------------


def test_a_step_without_an_input_mapping_needs_what_came_before() -> None:
    assert planned().before == Needs(previous_output=True)


def test_a_fixed_input_needs_nothing() -> None:
    assert planned(input_mapping={"a": [1, "text"]}).before == Needs()


@pytest.mark.parametrize("empty", [{}, [], "", 0, False])
def test_an_empty_input_is_an_input_and_not_the_previous_output(empty: Any) -> None:
    step = planned(input_mapping=empty)

    assert step.before == Needs()
    assert step.input is not None
    assert step.input.render({"context": {}}) == empty


def test_a_path_needs_the_step_that_it_names_and_no_other() -> None:
    mapping = {"a": ["{{ context.one.items.0 }}"]}

    assert planned(input_mapping=mapping).before == Needs(paths=frozenset({"one"}))


def test_an_exported_name_needs_every_step_that_writes_it() -> None:
    needs = planned(input_mapping="{{ context.shared }}").before

    assert needs.paths == {"one", "two"}


def test_the_executions_input_needs_no_step() -> None:
    assert planned(input_mapping="{{ context.input.query }}").before == Needs()


def test_errors_are_a_need_of_their_own() -> None:
    mapping = "{{ context.errors.one.message | default('none') }}"

    assert planned(input_mapping=mapping).before == Needs(errors=True)


def test_the_whole_context_names_no_step() -> None:
    # Validation refuses it; here it must not be taken for a step called "".
    assert planned(input_mapping="{{ context }}").before.paths == frozenset()


def test_output_is_the_previous_steps() -> None:
    assert planned(input_mapping="{{ output.score }}").before.previous_output


def test_a_condition_counts_like_the_input() -> None:
    condition = {"any": [{"field": "context.two.ok", "operator": "==", "value": True}]}

    needs = planned(input_mapping={"x": 1}, condition=condition).before

    assert needs == Needs(paths=frozenset({"two"}))


def test_a_condition_on_errors_keeps_the_previous_output_as_input() -> None:
    condition = {"field": "context.errors.one", "operator": "exists"}

    assert planned(condition=condition).before == Needs(
        previous_output=True, errors=True
    )


# --- after it ran -----------------------------------------------------------------


def test_an_output_mapping_is_not_read_before_the_step_runs() -> None:
    mapping = {"sum": "{{ context.one.n }} and {{ output }}"}

    step = planned(input_mapping=1, output_mapping=mapping)

    assert step.before == Needs()
    assert step.after.paths == {"one"}


def test_a_step_without_an_output_mapping_needs_nothing_afterwards() -> None:
    assert planned().after == Needs()


def test_a_step_may_read_its_own_output_by_its_key() -> None:
    mapping = {"n": "{{ context.three.n }}"}

    assert planned(output_mapping=mapping).after.paths == {"three"}


# --- the orchestration's output ----------------------------------------------------


def test_the_output_template_names_its_needs() -> None:
    plan = plan_of(
        step("one", output_mapping={"total": 1}),
        step("two"),
        output={"total": "{{ context.total }}", "last": "{{ output }}"},
    )

    assert plan.output_needs == Needs(paths=frozenset({"one"}), previous_output=True)


def test_no_output_template_needs_nothing() -> None:
    plan = plan_of(step("one"))

    assert (plan.output, plan.output_needs) == (None, Needs())


@pytest.mark.parametrize("empty", [{}, "", 0])
def test_an_empty_output_template_is_one(empty: Any) -> None:
    plan = plan_of(step("one"), output=empty)

    assert plan.output is not None
    assert plan.output_needs == Needs()


# --- blocks -----------------------------------------------------------------------


def test_neighbours_of_one_group_are_one_block() -> None:
    plan = plan_of(
        step("a"),
        step("b", parallel_group="g"),
        step("c", parallel_group="g"),
        step("d", parallel_group="h"),
        step("e"),
    )

    assert [[s.path for s in plan.of_block(b)] for b in plan.blocks] == [
        ["a"],
        ["b", "c"],
        ["d"],
        ["e"],
    ]
    assert [block.is_group for block in plan.blocks] == [False, True, True, False]


def test_ordinals_number_the_steps_through_all_blocks() -> None:
    plan = plan_of(step("a"), *(step(k, parallel_group="g") for k in "bcd"), step("e"))

    assert [planned.ordinal for planned in plan.steps] == [0, 1, 2, 3, 4]
    assert plan.blocks[2].ordinals == range(4, 5)
    assert plan.by_path["c"].block.index == 1


def test_after_the_last_block_comes_none() -> None:
    plan = plan_of(step("a"), step("b"))

    first, last = plan.blocks
    assert (plan.next_block(first), plan.next_block(last)) == (last, None)


def test_steps_run_by_order_and_not_by_place() -> None:
    plan = plan_of(step("late", order=2), step("early", order=1))

    assert [planned.path for planned in plan.steps] == ["early", "late"]


# --- roles and scopes --------------------------------------------------------------


def test_a_role_is_named_by_its_id_where_both_are_given() -> None:
    role_id = "01890000-0000-7000-8000-00000000000a"
    plan = plan_of(step("a", role_id=role_id), step("b"), step("c"))

    assert roles_named(plan.definition) == {f"id:{role_id}", "name:worker"}
    assert plan.by_path["a"].role == f"id:{role_id}"


def test_the_first_step_sees_no_previous_output() -> None:
    assert scope_of({}, None, first=True) == {"context": {}}
    assert scope_of({}, None, first=False) == {"context": {}, "output": None}
