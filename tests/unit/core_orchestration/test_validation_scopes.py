"""What a step can read depends on the body that it stands in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    abreast,
    codes,
    each,
    loop,
    route,
    said,
    step,
)

HOLDERS = [loop, each, route, abreast]
INNER = "/steps/0/steps/0/input_mapping"


def reading(path: str, key: str = "reads", **fields: Any) -> dict[str, Any]:
    return step(key, input_mapping=f"{{{{ {path} }}}}", **fields)


def test_a_body_sees_what_came_before_it_at_every_depth() -> None:
    before = step("before", output_mapping={"exported": 1})
    inner = [
        step("x", branch="b", output_mapping={"made": 1}),
        reading("context.x", "y", branch="b"),
        reading("context.before + context.exported + context.made", branch="b"),
    ]
    assert codes(before, loop(step("a"), each(route(*inner)))) == []
    assert codes(before, loop(step("a"), abreast(reading("context.a")))) == []


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("path", ["context.inside", "context.made", "context.inside.x"])
def test_what_a_body_makes_cannot_be_read_from_outside(holder: Any, path: str) -> None:
    made = holder(step("inside", output_mapping={"made": 1}))
    problem = [("/steps/1/input_mapping", "inner_reference")]
    assert codes(made, reading(path)) == problem
    assert codes(made, step("a"), output=f"{{{{ {path} }}}}") == [
        ("/output", "inner_reference")
    ]


def test_it_is_said_which_step_to_read_in_place_of_an_inner_one() -> None:
    made = loop(each(step("inside")))
    assert "read context.again" in said(made, reading("context.inside"))
    within = loop(each(step("inside")), reading("context.inside"))
    assert "read context.each" in said(within)
    apart = route(step("inside"), reading("context.inside"))
    assert "another branch of 'route'" in said(apart)
    itself = loop(
        step("inside"), config={"max_iterations": 1, "count": "{{ context.inside }}"}
    )
    assert "this step's own body" in said(itself)


@pytest.mark.parametrize("holder", [route, abreast])
def test_branches_do_not_see_each_other(holder: Any) -> None:
    body = [step("a", output_mapping={"made": 1}), reading("context.a", "b")]
    assert codes(holder(*body)) == [
        ("/steps/0/steps/1/input_mapping", "inner_reference")
    ]
    named = [step("a", branch="x"), reading("context.a", "b", branch="x")]
    assert codes(holder(*named)) == []
    deeper = [step("a"), loop(reading("context.a", "b"))]
    assert codes(holder(*deeper)) == [
        ("/steps/0/steps/1/steps/0/input_mapping", "inner_reference")
    ]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("context.later", "forward_reference"),
        ("context.reads", "self_reference"),
        ("context.beside", "sibling_reference"),
        ("context.again", "forward_reference"),
        ("context.exported", "sibling_reference"),
        ("context.outer_beside", "sibling_reference"),
        ("context.after", "forward_reference"),
        ("context.nobody", "unknown_reference"),
        ("nobody", "unknown_reference"),
        ("context.earlier", None),
        ("context.errors.earlier", None),
        ("context.errors.before", None),
        ("context.errors.later", "forward_reference"),
        ("context.errors.inmost", "inner_reference"),
        ("context.errors.beside", "unknown_reference"),
        ("context.errors.nobody", "unknown_reference"),
        ("context.inmost", "inner_reference"),
        ("output", None),
        ("context.input.x", None),
    ],
)
def test_what_a_step_in_a_body_can_read(path: str, code: str | None) -> None:
    body = [
        step("earlier", on_error="continue"),
        each(step("inmost", on_error="continue")),
        reading(path, parallel_group="g"),
        step("beside", parallel_group="g"),
        step("later", on_error="continue"),
    ]
    document = [
        step("before", on_error="continue"),
        loop(*body, parallel_group="o", output_mapping={"exported": 1}),
        step("outer_beside", parallel_group="o"),
        step("after"),
    ]
    problem = ("/steps/1/steps/2/input_mapping", code)
    assert codes(*document) == ([] if code is None else [problem])


def test_errors_of_a_holder_are_read_like_those_of_any_step() -> None:
    made = loop(step("a", on_error="continue"), on_error="continue")
    assert codes(made, reading("context.errors.again")) == []
    assert codes(made, reading("context.errors.a")) == [
        ("/steps/1/input_mapping", "inner_reference")
    ]
    assert codes(loop(step("a")), reading("context.errors.again")) == [
        ("/steps/1/input_mapping", "unknown_reference")
    ]


@pytest.mark.parametrize("path", ["context.again", "context.made"])
def test_a_holder_is_read_after_it_by_its_key_and_its_output_mapping(path: str) -> None:
    made = loop(step("a"), output_mapping={"made": "{{ output }}"})
    assert codes(made, reading(path)) == []
    assert codes(made, each(reading(path))) == []


def test_an_inner_step_may_write_a_name_that_an_outer_one_wrote() -> None:
    outer = step("outer", output_mapping={"total": 0})
    inner = step("inner", output_mapping={"total": "{{ context.total + 1 }}"})
    assert codes(outer, loop(inner), reading("context.total")) == []


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_first_step_of_a_body_has_an_output_even_at_the_very_start(
    holder: Any,
) -> None:
    assert codes(holder(reading("output.x"))) == []
    condition = {"field": "output.x", "operator": "exists"}
    assert codes(holder(step("a", condition=condition))) == []
    assert codes(holder(step("a"), condition=condition)) == [
        ("/steps/0/condition/field", "no_previous_output")
    ]


@pytest.mark.parametrize(
    "path",
    [
        *("loop", "loop.index", "loop.last", "loop.last.x.0", "loop['index']"),
        *("context.loop", "context.loop.index", "context.loop.last.x"),
    ],
)
def test_a_turn_is_known_inside_a_loop_at_any_depth(path: str) -> None:
    reads = reading(path)
    assert codes(loop(reads)) == []
    assert codes(loop(each(route(reads)))) == []
    assert codes(loop(step("a", condition={"field": path, "operator": "exists"}))) == []
    for outside in (reads, each(reads), route(reads), abreast(reads)):
        ((_, code),) = codes(outside)
        assert code == "unknown_reference"
    assert "only there inside a loop's body" in said(reads)
    assert codes(loop(step("a")), reads) == [
        ("/steps/1/input_mapping", "unknown_reference")
    ]


@pytest.mark.parametrize(
    "path",
    ["item", "item.x.0", "index", "context.item", "context.item.x", "context.index"],
)
def test_an_item_is_known_inside_a_map_at_any_depth(path: str) -> None:
    reads = reading(path)
    assert codes(each(reads)) == []
    assert codes(each(loop(abreast(reads)))) == []
    for outside in (reads, loop(reads), route(reads), abreast(reads)):
        ((_, code),) = codes(outside)
        assert code == "unknown_reference"
    assert "only there inside a map's body" in said(reads)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("loop.indx", "'index'"),
        ("context.loop.lst", "'last'"),
        ("loop.0", "no '0'"),
        ("loop.length", "no 'length'"),
    ],
)
def test_a_loop_has_an_index_and_the_last_turn_and_nothing_else(
    path: str, hint: str
) -> None:
    made = loop(reading(path))
    assert codes(made) == [(INNER, "unknown_reference")]
    assert hint in said(made)


def test_a_default_excuses_a_path_and_never_a_root() -> None:
    excused = "context.item | default(1)", "context.inside | default(1)"
    for path in excused:
        assert codes(loop(step("inside")), reading(path)) == []
    assert codes(loop(reading("loop.x | default(1)"))) == []
    assert codes(loop(reading("item | default(1)"))) == [(INNER, "unknown_reference")]


def test_order_decides_inside_bodies_and_pointers_follow_the_document() -> None:
    late = reading("context.soon", "late", order=2)
    soon = reading("context.late", "soon", order=1)
    assert codes(loop(late, soon)) == [
        ("/steps/0/steps/1/input_mapping", "forward_reference")
    ]
