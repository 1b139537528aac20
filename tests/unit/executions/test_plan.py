"""Plans: what a step's templates need to be read before it runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.plan import (
    Needs,
    Plan,
    PlannedStep,
    find_step,
    plan_at,
    rank,
    roles_named,
    scope_of,
)
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


# --- bodies: where their steps are ----------------------------------------------------


def holder(
    step_type: str, key: str, *steps: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    return {"key": key, "step_type": step_type, "steps": list(steps), **fields}


def loop(key: str, *steps: dict[str, Any], **config: Any) -> dict[str, Any]:
    return holder("loop", key, *steps, config={"max_iterations": 9, **config})


def each(key: str, *steps: dict[str, Any], items: Any = ()) -> dict[str, Any]:
    return holder("map", key, *steps, config={"items": list(items) or "{{ output }}"})


def abreast(key: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return holder("parallel", key, *steps)


def nested(**fields: Any) -> Plan:
    """Plan steps of which the innermost, `leaf`, stands in three bodies."""
    return plan_of(
        step("before", output_mapping={"total": 1}),
        loop(
            "outer",
            step("first", output_mapping={"total": 2, "turn": 3}),
            abreast(
                "both",
                step("one", branch="left", output_mapping={"side": 4}),
                each("inner", step("start"), step("leaf", **fields))
                | {"branch": "left"},
                step("right"),
            ),
            step("last"),
        ),
        step("after"),
    )


LEFT = "outer[2]/both[left]"
INNER = f"{LEFT}/inner[17]"


def leaf(**fields: Any) -> PlannedStep:
    return plan_at(nested(**fields), INNER).by_path[f"{INNER}/leaf"]


def test_the_top_is_the_plan_of_the_frame_without_a_path() -> None:
    plan = nested()

    assert plan_at(plan, "") is plan
    assert plan.is_top


def test_a_frames_plan_holds_the_steps_of_its_body_by_their_paths() -> None:
    plan = plan_at(nested(), LEFT)

    assert list(plan.by_path) == [f"{LEFT}/one", f"{LEFT}/inner"]
    assert (plan.frame, plan.is_top) == (LEFT, False)
    assert plan.container.path == "outer[2]/both"


def test_frames_of_one_body_share_what_is_compiled_and_not_their_paths() -> None:
    plan = nested()
    one, two = (plan_at(plan, f"outer[{n}]").steps[0] for n in (0, 1))

    assert one.compiled is two.compiled
    assert (one.path, two.path) == ("outer[0]/first", "outer[1]/first")


@pytest.mark.parametrize(
    "frame",
    [
        "nothing[0]",
        "before[0]",
        "outer[0]/nothing[0]",
        "outer[0]/both[up]",
        "both[left]",
    ],
)
def test_what_the_version_has_no_body_for_has_no_plan(frame: str) -> None:
    with pytest.raises(LookupError):
        plan_at(nested(), frame)


def test_the_top_is_held_by_no_step() -> None:
    with pytest.raises(LookupError):
        _ = nested().container


def test_a_step_around_a_frame_is_found_from_inside_and_one_elsewhere_is_not() -> None:
    plan = plan_at(nested(), INNER)

    for path in (f"{INNER}/start", f"{LEFT}/one", "outer[2]/first", "before"):
        found = plan.find(path)
        assert found is not None
        assert found.path == path
    for path in (f"{LEFT}/inner[3]/start", "outer[1]/first", "start", "nothing"):
        assert plan.find(path) is None


def test_blocks_of_a_body_are_numbered_from_its_own_beginning() -> None:
    plan = plan_at(nested(), "outer[0]")

    assert [block.index for block in plan.blocks] == [0, 1, 2]
    assert [planned.path for planned in plan.of_block(plan.blocks[1])] == [
        "outer[0]/both"
    ]
    assert plan.next_block(plan.blocks[2]) is None


# --- bodies: what their steps read ----------------------------------------------------


def test_a_step_of_a_body_reads_its_own_bodys_steps_in_its_own_frame() -> None:
    assert leaf(input_mapping="{{ context.start }}").before == Needs(
        paths=frozenset({f"{INNER}/start"})
    )


def test_a_step_of_a_body_reads_what_stands_before_the_steps_around_it() -> None:
    names = ["{{ context.one }}", "{{ context.first }}", "{{ context.before }}"]

    assert leaf(input_mapping=names).before.paths == {
        f"{LEFT}/one",
        "outer[2]/first",
        "before",
    }


def test_an_exported_name_needs_every_step_in_sight_that_writes_it() -> None:
    assert leaf(input_mapping="{{ context.total }}").before.paths == {
        "outer[2]/first",
        "before",
    }


def test_a_name_that_another_branch_makes_is_not_in_sight() -> None:
    assert leaf(input_mapping="{{ context.right | default(1) }}").before == Needs()


def test_a_name_that_is_made_inside_another_body_is_not_in_sight() -> None:
    plan = nested()
    inside = plan_of(
        loop("again", step("hidden", output_mapping={"secret": 1})),
        step("after", input_mapping="{{ context.secret | default(context.hidden) }}"),
    )

    assert plan.by_path["after"].before.paths == frozenset()
    assert inside.by_path["after"].before == Needs()


@pytest.mark.parametrize(
    "name",
    ["item", "index", "loop.index", "loop.last", "context.item", "context.loop.index"],
)
def test_what_a_frame_gives_needs_all_frames_around(name: str) -> None:
    assert leaf(input_mapping=f"{{{{ {name} }}}}").before == Needs(
        paths=frozenset({INNER, LEFT, "outer[2]"})
    )


def test_a_template_that_reads_no_frame_needs_none() -> None:
    assert leaf(input_mapping="{{ context.input.item }}").before == Needs()


def test_a_condition_reads_where_its_step_stands() -> None:
    condition = {"field": "context.turn", "operator": "==", "value": "{{ item }}"}

    needs = leaf(input_mapping=1, condition=condition).before

    assert needs.paths == {"outer[2]/first", INNER, LEFT, "outer[2]"}


def test_a_containers_own_templates_are_read_outside_of_its_body() -> None:
    plan = plan_of(
        step("one"),
        each("inner", step("two"), items=["{{ context.one }}"]),
        loop("again", step("three"), count="{{ context.inner.0 }}"),
    )

    assert plan.by_path["inner"].before == Needs(paths=frozenset({"one"}))
    assert plan.by_path["again"].before == Needs(paths=frozenset({"inner"}))


def test_a_container_without_templates_needs_no_previous_output() -> None:
    plan = plan_of(step("one"), abreast("both", step("two")))

    assert plan.by_path["both"].before == Needs()


def test_a_while_is_read_before_its_loop_and_an_until_is_not() -> None:
    conditions = {
        name: {"field": f"context.{key}", "operator": "exists"}
        for name, key in (("while", "one"), ("until", "inside"))
    }
    plans = [
        plan_of(step("one"), loop("again", step("inside"), **{name: condition}))
        for name, condition in conditions.items()
    ]

    assert [plan.by_path["again"].before.paths for plan in plans] == [{"one"}, set()]


def test_an_until_reads_the_turns_steps_where_the_turn_has_ended() -> None:
    until = {"field": "context.inside", "operator": "==", "value": "{{ context.one }}"}
    plan = plan_of(step("one"), loop("again", step("inside"), until=until))
    condition = plan.by_path["again"].compiled.conditions["until"]

    needs = plan_at(plan, "again[4]").reading([condition])

    assert needs.paths == {"again[4]/inside", "one"}


# --- bodies: order and names ------------------------------------------------------------


def all_ordinals(plan: Plan) -> list[int]:
    """List the ordinals of all steps, those of a body behind its holder's."""
    found = []
    for planned in plan.steps:
        found.append(planned.ordinal)
        for name in planned.compiled.bodies:
            found += all_ordinals(plan.inside(planned, name or 0))
    return found


def test_every_step_of_any_depth_has_an_ordinal_of_its_own() -> None:
    ordinals = all_ordinals(nested())

    assert sorted(ordinals) == list(range(len(ordinals)))
    assert ordinals == all_ordinals(nested())


def test_the_steps_of_the_top_are_numbered_before_all_that_is_inside() -> None:
    assert [planned.ordinal for planned in nested().steps] == [0, 1, 2]


def test_all_frames_of_a_body_have_the_same_ordinals() -> None:
    plan = nested()

    assert [step.ordinal for step in plan_at(plan, "outer[0]").steps] == [
        step.ordinal for step in plan_at(plan, "outer[9]").steps
    ]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("before", "before"),
        ("outer", "outer"),
        ("outer[0]/first", "first"),
        ("outer[12]/both[left]/one", "one"),
        ("outer[0]/both[left]/inner[99999]/leaf", "leaf"),
        ("outer[0]/both[right]/right", "right"),
    ],
)
def test_a_path_leads_to_its_step_whatever_the_frame(path: str, key: str) -> None:
    found = find_step(nested(), path)

    assert found is not None
    assert found.key == key


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing",
        "leaf",
        "outer[0]/leaf",
        "outer[0]/both[right]/one",
        "outer[0]/both[up]/one",
        "before[0]/first",
        "nothing[0]/first/one",
    ],
)
def test_what_is_no_path_of_the_version_leads_to_no_step(path: str) -> None:
    assert find_step(nested(), path) is None


IN_ORDER = [
    "before",
    "outer",
    "outer[0]/first",
    "outer[0]/both",
    "outer[0]/both[left]/one",
    "outer[0]/both[left]/inner",
    "outer[0]/both[left]/inner[0]/start",
    "outer[0]/both[left]/inner[0]/leaf",
    "outer[0]/both[left]/inner[2]/start",
    "outer[0]/both[left]/inner[10]/start",
    "outer[0]/both[right]/right",
    "outer[0]/last",
    "outer[2]/first",
    "outer[10]/first",
    "outer[10]/last",
    "after",
]


@given(st.permutations(IN_ORDER))
def test_paths_are_sorted_as_their_steps_stand(shuffled: list[str]) -> None:
    plan = nested()

    assert sorted(shuffled, key=lambda path: rank(plan, path)) == IN_ORDER


def test_branches_are_sorted_as_they_stand_and_not_by_name() -> None:
    plan = plan_of(abreast("both", step("z"), step("m"), step("a")))
    shuffled = ["both[a]/a", "both[m]/m", "both[z]/z", "both"]

    assert sorted(shuffled, key=lambda path: rank(plan, path)) == [
        "both",
        "both[z]/z",
        "both[m]/m",
        "both[a]/a",
    ]


def test_roles_are_collected_at_every_depth() -> None:
    plan = plan_of(
        step("a", role_name="one"),
        loop("b", each("c", step("d", role_name="two")), step("e", role_name="three")),
    )

    assert roles_named(plan.definition) == {"name:one", "name:two", "name:three"}


def test_paths_around_a_frame_come_from_the_top_inwards() -> None:
    plan = plan_at(nested(), INNER)
    named = {f"{INNER}/start", INNER, f"{LEFT}/one", LEFT, "outer[2]", "before", "no"}

    assert [path for path, _ in plan.inwards(named)] == [
        "before",
        "outer[2]",
        LEFT,
        f"{LEFT}/one",
        INNER,
        f"{INNER}/start",
    ]


def test_what_the_engine_does_itself_is_claimed_by_nobody() -> None:
    plan = plan_of(loop("again", step("inside")), step("plain"))

    assert [planned.is_batchable for planned in plan.steps] == [False, True]


def test_what_the_frames_give_is_there_by_its_name_as_well() -> None:
    context = {"item": 1, "index": 0, "loop": {"index": 2}, "one": 3}

    scope = scope_of(context, "out", first=False)

    assert scope == {
        "context": context,
        "output": "out",
        "item": 1,
        "index": 0,
        "loop": {"index": 2},
    }
