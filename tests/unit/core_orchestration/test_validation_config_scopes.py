"""What the templates and conditions of a config can read, and where they stand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    WHEN,
    codes,
    each,
    loop,
    route,
    step,
)


def comparing(path: str) -> dict[str, Any]:
    return {"field": path, "operator": "==", "value": 1}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("output.score", None),
        ("context.first.x", None),
        ("context.second", None),
        ("context.made", None),
        ("context.before", None),
        ("loop.index", None),
        ("context.loop.last", None),
        ("context.inmost", "inner_reference"),
        ("context.after", "forward_reference"),
        ("context.again", "forward_reference"),
        ("context.nobody", "unknown_reference"),
        ("item", "unknown_reference"),
    ],
)
def test_until_stands_after_the_last_step_of_the_body(
    path: str, code: str | None
) -> None:
    config = {"max_iterations": 3, "until": {"all": [comparing(path)]}}
    second = step("second", output_mapping={"made": 1})
    body = [step("first"), each(step("inmost")), second]
    made = [step("before"), loop(*body, config=config), step("after")]
    problem = ("/steps/1/config/until/all/0/field", code)
    assert codes(*made) == ([] if code is None else [problem])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("output", None),
        ("context.before", None),
        ("loop.index", None),
        ("context.loop.last.score", None),
        ("loop.score", "unknown_reference"),
        ("context.inside", "inner_reference"),
        ("context.again", "self_reference"),
        ("context.after", "forward_reference"),
        ("index", "unknown_reference"),
    ],
)
def test_while_stands_at_the_loop_and_knows_the_turn(
    path: str, code: str | None
) -> None:
    config = {"max_iterations": 3, "while": comparing(path)}
    made = [step("before"), loop(step("inside"), config=config), step("after")]
    problem = ("/steps/1/config/while/field", code)
    assert codes(*made) == ([] if code is None else [problem])


FIELDS: list[tuple[Any, str, str]] = [
    (loop, "count", ""),
    (each, "items", ""),
    (route, "sticky", ""),
    (route, "cases", "/0/condition/value"),
]


def configured(holder: Any, field: str, path: str) -> dict[str, Any]:
    template = f"{{{{ {path} }}}}"
    whole: dict[str, Any] = {
        "count": {"max_iterations": 3, "count": template},
        "items": {"items": template},
        "sticky": {"weights": {"inside": 1}, "sticky": template},
        "cases": {
            "cases": [{"branch": "inside", "condition": {**WHEN, "operator": "=="}}]
        },
    }
    if field == "cases":
        whole["cases"]["cases"][0]["condition"]["value"] = template
    made: dict[str, Any] = holder(step("inside"), key="holder", config=whole[field])
    return made


@pytest.mark.parametrize(("holder", "field", "below"), FIELDS)
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("context.before", None),
        ("output", None),
        ("context.inside", "inner_reference"),
        ("context.holder", "self_reference"),
        ("context.after", "forward_reference"),
        ("loop.index", "unknown_reference"),
        ("item", "unknown_reference"),
        ("context.index", "unknown_reference"),
    ],
)
def test_the_other_templates_of_a_config_stand_at_the_step(
    holder: Any, field: str, below: str, path: str, code: str | None
) -> None:
    made = [step("before"), configured(holder, field, path), step("after")]
    problem = (f"/steps/1/config/{field}{below}", code)
    assert codes(*made) == ([] if code is None else [problem])


@pytest.mark.parametrize(("holder", "field", "below"), FIELDS)
def test_a_config_sees_the_turn_and_the_item_that_it_stands_in(
    holder: Any, field: str, below: str
) -> None:
    for path in ("loop.index", "item.x", "context.index"):
        assert codes(loop(each(configured(holder, field, path)))) == []


@pytest.mark.parametrize(("holder", "field", "below"), FIELDS)
def test_a_config_of_the_very_first_step_has_no_output_to_read(
    holder: Any, field: str, below: str
) -> None:
    assert codes(configured(holder, field, "output")) == [
        (f"/steps/0/config/{field}{below}", "no_previous_output")
    ]
    assert codes(loop(configured(holder, field, "output"))) == []


@pytest.mark.parametrize(
    "config",
    [
        {"output": {"a": "{{ context.nobody }}"}},
        {"status": "failed", "message": "No {{ context.nobody }}!"},
    ],
)
def test_what_a_stop_says_is_looked_up_too(config: dict[str, Any]) -> None:
    ((pointer, code),) = codes({"key": "halt", "step_type": "stop", "config": config})
    assert code == "unknown_reference"
    assert pointer in {"/steps/0/config/output/a", "/steps/0/config/message"}
