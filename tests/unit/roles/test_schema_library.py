"""What fits is what the well-known library says: it is the oracle of these tests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from roles.schemas import schema_problems, value_problems

NAMES = st.sampled_from(["a", "b", "ab", "c/d", ""])
NUMBERS = st.integers(-3, 5) | st.sampled_from([0.5, 1.0, 1.5, -0.0, 1e300, 10**30])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)
COUNTS = st.integers(0, 3)
TYPES = st.sampled_from(
    ["array", "boolean", "integer", "null", "number", "object", "string"]
)
PATTERNS = st.sampled_from(["a", "^a$", "b", "^$", "/", "^.{2}"])
REFERENCES = st.sampled_from(["#/$defs/x", "#/$defs/y", "#anchor", "#/$defs/c~1d"])


def rules(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    schemas = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    names = st.lists(NAMES, unique=True, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, max_size=4),
            "const": VALUES,
            "minimum": NUMBERS,
            "maximum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "multipleOf": st.sampled_from([1, 2, 0.5, 0.1, 3]),
            "minLength": COUNTS,
            "maxLength": COUNTS,
            "pattern": PATTERNS,
            "minItems": COUNTS,
            "maxItems": COUNTS,
            "uniqueItems": st.booleans(),
            "prefixItems": schemas,
            "items": inner,
            "contains": inner,
            "minContains": COUNTS,
            "maxContains": COUNTS,
            "minProperties": COUNTS,
            "maxProperties": COUNTS,
            "required": names,
            "dependentRequired": st.dictionaries(NAMES, names, max_size=2),
            "dependentSchemas": named,
            "properties": named,
            "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": inner,
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
            "allOf": schemas,
            "anyOf": schemas,
            "oneOf": schemas,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "$ref": REFERENCES,
        },
    )


LEAVES = st.booleans() | rules(st.booleans()).map(
    lambda schema: dict(list(schema.items())[:2])
)
SCHEMAS = st.builds(
    lambda root, x, y: {
        **root,
        "$defs": {"x": x, "y": y, "c/d": {"$anchor": "anchor", "type": "object"}},
    },
    rules(LEAVES | rules(LEAVES)),
    st.fixed_dictionaries({"type": TYPES}),
    st.fixed_dictionaries({"properties": st.dictionaries(NAMES, st.booleans())}),
)


@settings(max_examples=100)
@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=6))
def test_a_value_fits_when_the_library_says_so(schema, values):
    assert schema_problems(schema) == []
    library = Draft202012Validator(schema)

    for value in values:
        assert (value_problems(schema, value) == []) == library.is_valid(value), value


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | TYPES | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            NAMES | st.sampled_from(sorted(Draft202012Validator.VALIDATORS)), inner
        )
    ),
    max_leaves=10,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(sorted(Draft202012Validator.VALIDATORS)), JUNK))
def test_a_schema_is_valid_when_the_library_says_so(schema):
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    ours = {each.code for each in schema_problems(schema)}

    assert ("invalid_schema" in ours) == (not meta.is_valid(schema))


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(sorted(Draft202012Validator.VALIDATORS)), JUNK),
    VALUES,
)
def test_no_schema_makes_a_check_raise(schema, value):
    assert isinstance(value_problems(schema, value), list)


@pytest.mark.parametrize(
    ("schema", "value", "pointers"),
    [
        ({"properties": {"a": True}, "unevaluatedProperties": False}, {"a": 1, "b": 2}, ["/b"]),
        (
            {"patternProperties": {"^a": True}, "unevaluatedProperties": False},
            {"ab": 1, "ba": 2},
            ["/ba"],
        ),
        (
            {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": {"type": "null"}},
            {"a": 1, "b": None, "c": 2},
            ["/c"],
        ),
        (
            {"anyOf": [{"required": ["x"], "properties": {"x": {}}}, {"properties": {"y": {}}}], "unevaluatedProperties": False},
            {"x": 1, "y": 2, "z": 3},
            ["/z"],
        ),
        (
            {"if": {"properties": {"a": {"const": 1}}}, "then": {"properties": {"b": {}}}, "else": {"properties": {"c": {}}}, "unevaluatedProperties": False},
            {"a": 2, "b": 1, "c": 1},
            ["/a", "/b"],
        ),
        ({"prefixItems": [{}], "unevaluatedItems": False}, [1, 2, 3], ["/1", "/2"]),
        ({"contains": {"type": "null"}, "unevaluatedItems": {"type": "string"}}, [None, "a", 1], ["/2"]),
    ],
)  # fmt: skip
def test_what_nothing_looked_at_is_named(schema, value, pointers):
    assert [each.pointer for each in value_problems(schema, value)] == pointers
