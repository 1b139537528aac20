"""What orchestrations are called as tools, and what is asked for to run one."""

from __future__ import annotations

from uuid import UUID

import pytest

from config.mcp.naming import arguments_schema, full_name, short_names, slug, wraps

OLD, NEW = UUID(int=0xA), UUID(int=0xB)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Fetch the news!", "fetch_the_news"),
        ("Größe v1.2-beta", "groe_v1.2-beta"),
        ("天気", "orchestration"),
        ("...", "orchestration"),
        ("  7 days ", "7_days"),
        ("a" * 49 + " b", "a" * 49),
    ],
)
def test_a_name_becomes_what_every_client_takes(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_the_elder_keeps_the_short_name() -> None:
    named = [(OLD, "Get it"), (NEW, "get it!")]
    assert short_names(named, set()) == {OLD: "get_it", NEW: "get_it_00000000000b"}


def test_names_of_other_tools_are_taken() -> None:
    assert short_names([(OLD, "X")], {"x"}) == {OLD: full_name("X", OLD)}


def test_the_longest_names_fit_providers() -> None:
    assert len(full_name("x" * 200, NEW)) <= 64


def test_an_object_is_its_own_arguments() -> None:
    schema = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert arguments_schema(schema) == {**schema, "type": "object"}
    assert not wraps(schema)


def test_no_schema_takes_any_object() -> None:
    assert arguments_schema(None)["type"] == "object"
    assert not wraps(None)


def test_an_object_or_null_is_asked_for_as_an_object() -> None:
    assert arguments_schema({"type": ["object", "null"]})["type"] == "object"


def test_what_is_no_object_becomes_an_argument() -> None:
    schema = {
        "type": "array",
        "items": {"$ref": "#/$defs/Word"},
        "$defs": {"Word": {"type": "string"}},
    }
    assert wraps(schema)
    assert arguments_schema(schema)["properties"] == {
        "input": {"type": "array", "items": {"type": "string"}}
    }
