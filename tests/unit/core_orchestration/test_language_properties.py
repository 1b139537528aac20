"""Whatever is written into a definition, only our own errors come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_orchestration.definition import Step, parse, to_json
from core_orchestration.language import (
    Condition,
    ConditionSyntaxError,
    Problem,
    Reference,
    Template,
    TemplateRenderError,
    TemplateSyntaxError,
    condition_problems,
    read_template,
)
from core_orchestration.language.comparing import OPERATORS
from core_orchestration.language.syntax import parsed, plain_path, static_path
from core_orchestration.language.values import same
from core_orchestration.validation import SUPPORTED, storable_problems, validate
from core_orchestration.validation.configs.fields import CONFIGS
from tests.unit.core_orchestration.definitions import ROLES, orchestration, step

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=15,
)
SCOPE: dict[str, Any] = {
    "context": {"input": {"a": 1, "b": "text"}, "c": [1, 2.5, "x", None, True]},
    "output": {"d": {"e": []}},
}
pieces = st.sampled_from(
    [
        "context",
        "output",
        ".input",
        ".a",
        ".b",
        ".c",
        ".0",
        ".d",
        ".e",
        "[0]",
        "[-1]",
        "['a']",
        "(",
        ")",
        "{",
        "}",
        ",",
        ":",
        "[",
        "]",
        "'",
        '"',
        "|",
        "upper",
        "default",
        "first",
        "join",
        "length",
        "int",
        "round",
        "sort",
        "replace",
        "truncate",
        "tojson",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "~",
        "**",
        "==",
        "!=",
        "<",
        ">",
        "<=",
        ">=",
        "in",
        "not",
        "and",
        "or",
        "if",
        "else",
        "is",
        "1",
        "2.5",
        "9e300",
        "'x'",
        "true",
        "none",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "\\",
        "__class__",
        "attr",
        "range",
        "format",
    ]
)
expressions = st.lists(pieces, max_size=12).map(" ".join)
keys = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@given(expressions | texts)
@settings(max_examples=500)
def test_random_expressions_give_json_or_our_own_errors(expression: str) -> None:
    for text in ("{{ " + expression + " }}", "a {{" + expression + "}} b"):
        try:
            result = Template.parse(text).render(SCOPE)
        except (TemplateSyntaxError, TemplateRenderError):
            continue
        assert json.loads(json.dumps(result, allow_nan=False)) == result


@given(values)
def test_json_without_placeholders_renders_to_itself(value: Any) -> None:
    if "{{" in json.dumps(value) or "{%" in json.dumps(value):
        return
    assert same(Template.parse(value).render({}), value)


@given(values)
def test_a_single_placeholder_hands_any_value_through(value: Any) -> None:
    assert Template.parse("{{ x }}").render({"x": value}) is value


@given(values)
def test_text_around_a_value_holds_its_json(value: Any) -> None:
    rendered = Template.parse("<{{ x }}>").render({"x": value})
    inner = rendered[1:-1]
    assert inner == value if isinstance(value, str) else same(json.loads(inner), value)


@given(values)
def test_templates_are_read_without_raising_exactly_when_they_parse(value: Any) -> None:
    problems = read_template(value).problems
    try:
        Template.parse(value)
        raised: tuple[Problem, ...] = ()
    except TemplateSyntaxError as error:
        raised = error.problems
    assert raised == problems


@given(keys, st.lists(keys | st.integers(0, 10**8), max_size=4))
def test_the_short_cut_for_plain_paths_agrees_with_the_grammar(
    root: str, path: list[str | int]
) -> None:
    source = ".".join(map(str, (root, *path)))
    plain = plain_path(source)
    if plain is None:
        return
    assert plain == static_path(parsed(source)) == Reference(root, tuple(path))


@given(st.lists(texts.filter(bool) | st.integers(-9, 9), max_size=4))
def test_a_reference_reads_back_as_it_is_written(path: list[str | int]) -> None:
    reference = Reference("context", tuple(path))
    assert Template.parse("{{ " + str(reference) + " }}").references == {reference}


@given(texts | expressions, st.sampled_from(OPERATORS), values)
def test_random_conditions_decide_or_raise_our_own_errors(
    field: str, operator: str, value: Any
) -> None:
    condition = {"field": field, "operator": operator, "value": value}
    try:
        parsed_condition = Condition.parse(condition)
        assert parsed_condition.holds(SCOPE) in (True, False)
        raised: tuple[Problem, ...] = ()
    except ConditionSyntaxError as error:
        raised = error.problems
    except TemplateRenderError:
        return
    assert raised == condition_problems(condition)


@given(values, values)
def test_equality_is_that_of_the_json_texts(left: Any, right: Any) -> None:
    assert same(left, left)
    assert same(left, right) == same(right, left)
    if json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True):
        assert same(left, right)


steps = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "name": texts,
            "order": st.integers(-5, 5),
            "parallel_group": st.none() | keys,
            "input_mapping": values,
            "retry_backoff": st.integers(1, 100) | st.floats(1, 100),
            "max_retries": st.integers(0, 100),
            "total_timeout_ms": st.none() | st.integers(1, 2**40),
            "queue_timeout_ms": st.none() | st.integers(1, 2**40),
            "at_most_once": st.booleans(),
            "branch": st.none() | keys,
            "config": st.dictionaries(keys, values, max_size=2),
            "on_error": st.sampled_from(["fail", "continue"]),
        },
    ),
    lambda inner: st.fixed_dictionaries({"steps": st.lists(inner, max_size=3)}),
    max_leaves=6,
)


@given(st.lists(steps, max_size=5), values)
def test_a_snapshot_reads_back_equal_through_json(
    sent: list[dict[str, Any]], output: Any
) -> None:
    definition = parse({"steps": sent, "output": output})
    snapshot = json.loads(json.dumps(to_json(definition)))
    assert parse(snapshot) == definition
    assert to_json(parse(snapshot)) == snapshot


def _keys(steps: tuple[Step, ...]) -> list[str]:
    return [key for each in steps for key in (each.key, *_keys(each.steps))]


@given(st.lists(steps, max_size=6))
def test_keys_made_of_names_are_always_unique_and_valid(
    sent: list[dict[str, Any]],
) -> None:
    found = _keys(parse({"steps": sent}).steps)
    assert len(set(found)) == len(found)
    document = orchestration(*({**each, "role_name": "writer"} for each in sent))
    codes = {problem.code for problem in validate(document, ROLES)}
    assert not codes & {"invalid_key", "reserved_key", "duplicate_key"}


FIELDS = st.sampled_from([*Step.__dataclass_fields__, "tags", "output", "x"])


@given(st.dictionaries(FIELDS, values, max_size=6), values)
@settings(max_examples=300)
def test_validation_never_raises_and_points_into_the_document(
    fields: dict[str, Any], other: Any
) -> None:
    for document in (
        other,
        fields,
        orchestration(other, fields),
        orchestration(step("a"), {**step("b"), **fields}, output=other),
    ):
        for problem in validate(document, ROLES):
            _follow(document, problem.pointer)
            assert problem.code == problem.code.lower()
            assert problem.detail[-1] in ".?"


CONFIG_NAMES = st.sampled_from(
    sorted({name for fields in CONFIGS.values() for name in fields} | {"x"})
)
faulty_steps = st.recursive(
    st.fixed_dictionaries(
        {"step_type": st.sampled_from(SUPPORTED)},
        optional={
            "key": keys,
            "order": st.integers(-1, 1),
            "branch": st.none() | st.sampled_from("ab") | values,
            "parallel_group": st.none() | st.sampled_from("gh"),
            "condition": st.none() | values,
            "input_mapping": st.just("{{ context.a.b }} {{ item }} {{ loop.x }}"),
            "config": st.dictionaries(CONFIG_NAMES, values, max_size=4) | values,
        },
    ),
    lambda inner: st.builds(
        lambda outer, body: {**outer, "steps": body}, inner, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(faulty_steps, max_size=4))
@settings(max_examples=300)
def test_faulty_bodies_never_raise_and_are_pointed_into(sent: list[Any]) -> None:
    document = orchestration(*sent)
    for problem in validate(document, ROLES):
        _follow(document, problem.pointer)
        assert problem.code == problem.code.lower()
        assert problem.detail[-1] in ".?"


def _follow(document: Any, pointer: str) -> None:
    for segment in pointer.split("/")[1:]:
        if isinstance(document, list):
            document = document[int(segment)]
        else:
            name = segment.replace("~1", "/").replace("~0", "~")
            document = document.get(name)


@given(values)
def test_what_definitions_hold_can_be_stored(value: Any) -> None:
    assert storable_problems(value) == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_answers_for_every_pair_of_types(operator: str) -> None:
    samples: list[Any] = [None, True, 0, 1.5, "a", [], ["a"], {}, {"a": 1}]
    for field in samples:
        for value in samples:
            condition = {"field": "x", "operator": operator, "value": value}
            if not condition_problems(condition):
                assert Condition.parse(condition).holds({"x": field}) in (True, False)
