"""What the model and the type checker are told of the tools."""

from __future__ import annotations

import ast
import asyncio
from typing import Any

import pytest

from roles.runners.codemode import run_program, stubs
from roles.runners.hosting import OfferedTool
from tests.unit.roles.codemode_desk import TOOLS, Desk, offered


def signature(schema: dict[str, Any], name: str = "system.act") -> str:
    text = stubs([offered(name, schema, "Does it.")])
    [found] = [line.strip() for line in text.split("\n") if "async def" in line]
    return found.removeprefix("async def act(self").removesuffix(") -> Any:")


def one(schema: Any) -> str:
    """Write the type of a required property with this schema."""
    text = signature({"properties": {"x": schema}, "required": ["x"]})
    return text.removeprefix(", x: ")


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ({"type": "string"}, "str"),
        ({"type": "integer"}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "boolean"}, "bool"),
        ({"type": "null"}, "None"),
        ({}, "Any"),
        (True, "Any"),
        ({"type": "array"}, "list[Any]"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "int | None"),
        ({"oneOf": [{"type": "string"}, {}]}, "Any"),
        ({"enum": ["a", "b"]}, "Literal['a', 'b']"),
        ({"enum": [1, None, True]}, "Literal[1, None, True]"),
        ({"enum": [1.5]}, "Any"),
        ({"enum": []}, "Any"),
        ({"enum": list(range(500))}, "Any"),
        ({"const": "a"}, "Literal['a']"),
        ({"allOf": [{"type": "string"}]}, "str"),
        ({"$ref": "#/$defs/Missing"}, "Any"),
        ({"$ref": "https://elsewhere/x"}, "Any"),
        ({"type": "object", "properties": {"a-b": {}}}, "dict[str, Any]"),
        ({"type": "strange"}, "Any"),
        ({"type": {"a": 1}}, "Any"),
        (7, "Any"),
    ],
)
def test_a_schema_becomes_a_type(schema, type_):
    assert one(schema) == type_


def test_arguments_are_named_and_optional_ones_default_to_none():
    schema = {
        "type": "object",
        "properties": {
            "later": {"type": "integer"},
            "first": {"type": "string"},
            "free": {},
        },
        "required": ["first"],
    }

    assert signature(schema) == (
        ", *, first: str, later: int | None = None, free: Any = None"
    )


@pytest.mark.parametrize(
    ("schema", "parameters"),
    [
        ({}, ", input: Any"),
        ({"type": "object"}, ", input: dict[str, Any] = {}"),
        ({"type": "string"}, ", input: str"),
        ({"type": "array", "items": {"type": "integer"}}, ", input: list[int]"),
        ({"properties": {"class": {}}}, ", input: dict[str, Any] = {}"),
        (
            {"properties": {"class": {}}, "required": ["class"]},
            ", input: dict[str, Any]",
        ),
        ({"type": "object", "properties": {}, "additionalProperties": False}, ""),
    ],
)
def test_what_is_no_object_of_named_properties_is_one_input(schema, parameters):
    assert signature(schema) == parameters


def test_nested_objects_are_typed_dictionaries():
    text = stubs(TOOLS)

    assert "class Step(TypedDict):\n    key: str\n" in text
    assert "    kind: NotRequired[Literal['one', 'many']]\n" in text
    assert "    steps: NotRequired[Sequence[Step | dict[str, Any]]]\n" in text
    assert "steps: Sequence[Step | dict[str, Any]] | None = None" in text


def test_objects_of_the_same_title_are_told_apart():
    item = {"type": "object", "title": "Item", "properties": {"a": {}}}
    other = {"type": "object", "title": "Item", "properties": {"b": {}}}
    text = stubs([offered("system.act", {"properties": {"a": item, "b": other}})])

    assert "class Item(TypedDict):" in text
    assert "class Item2(TypedDict):" in text


def test_names_that_are_no_python_are_told_apart():
    text = stubs(
        [
            offered("mcp:files/read", {}),
            offered("mcp:files.read", {}),
            offered("http:1", {}),
            offered("json.loads", {}),
            offered("system.class", {}),
        ]
    )

    for name in (
        "mcp_files_read",
        "mcp_files_read_2",
        "http_1",
        "json_loads",
        "system_class",
    ):
        assert f"async def {name}(self" in text


def test_a_module_of_its_own_is_offered_by_its_name():
    text = stubs([offered("notes.find", {})])

    assert "notes: Notes" in text


NASTY = [
    OfferedTool(
        name='evil"""\nimport os',
        model_name="evil_____import_os",
        description='"""\nimport os\nos.system("x")\n\\"""" \\',
        schema={
            "type": "object",
            "properties": {
                "a": {"description": '"""\nx = 1', "enum": ["'\n", '"""', "\\"]},
                "b": {
                    "type": "object",
                    "title": "X:\n  pass\nimport os",
                    "properties": {"c": {"title": "\ud800", "const": "\ud800"}},
                },
                "c": {"$ref": "#/properties/b"},
                "d": {"type": "object", "title": "Any", "properties": {"e": {}}},
                "e": {"type": "object", "title": "Tools", "properties": {"e": {}}},
                "f": {"type": "object", "title": "class", "properties": {"e": {}}},
            },
        },
    ),
    offered("system.__init__", {}),
    offered("é.è", {}),
    offered("system.recursive", {"$ref": "#"}),
    offered("system.itself", {"properties": {"me": {"$ref": "#"}}}),
    offered("system.odd", {"properties": [], "required": 7}),
    offered("system.odder", {"properties": {"a": 1, "b": None}, "required": 7}),
    offered("system.oddest", {"type": [], "enum": 1, "anyOf": {}, "items": 2}),
]


def test_texts_of_strangers_stay_texts():
    tree = ast.parse(stubs(NASTY))

    for statement in tree.body:
        assert isinstance(statement, ast.ImportFrom | ast.ClassDef | ast.AnnAssign)
        for inner in getattr(statement, "body", ()):
            assert isinstance(inner, ast.AnnAssign | ast.AsyncFunctionDef | ast.Pass), (
                ast.dump(inner)
            )


@pytest.mark.parametrize("tools", [TOOLS, NASTY, ()], ids=["usual", "nasty", "none"])
def test_the_checker_takes_what_is_written(tools):
    done = asyncio.run(run_program("1 + 1", tools, Desk()))

    assert (done.result, done.error) == (2, None)


def test_descriptions_are_in_docstrings():
    text = stubs(
        [offered("system.act", {"properties": {"a": {"description": "b c"}}}, "D e.")]
    )

    assert '"""D e.\n        a: b c"""' in text
