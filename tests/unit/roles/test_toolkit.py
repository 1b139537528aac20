"""Tools as callers see them: schemas, names, arguments, grants."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from roles.acting import Actor
from roles.toolkit import (
    META,
    Arguments,
    Caller,
    Document,
    Family,
    Tool,
    ToolRefused,
    as_arguments,
    grant_problems,
    granted,
    meta_tools,
    parsed,
    registry,
    tool,
)

NOBODY = Caller(actor=Actor(), user_id=None)


class Inner(BaseModel):
    size: int = 1


class Several(Arguments):
    name: str
    inner: Inner = Inner()
    count: int = Field(1, ge=1)


class Paper(Document):
    title: str = Field(description="What it is called.")


class Edit(Arguments):
    id: int | None = None
    changes: Paper


def made(name: str, **more: Any) -> Tool:
    fields = {
        "description": "",
        "schema": {"type": "object"},
        "call": lambda given, caller: dict(given),
        "grant": name,
        **more,
    }
    return Tool(name=name, **fields)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_META", {})
    monkeypatch.setattr(registry, "_FAMILIES", {})


# --- names --------------------------------------------------------------------------


def test_a_name_is_spelled_as_providers_take_it() -> None:
    assert made("system.create_role").model_name == "system_create_role"
    assert made("http:Mail & more").model_name == "http_Mail___more"


def test_long_names_that_begin_alike_stay_apart() -> None:
    one, other = made("http:" + "x" * 90 + "1"), made("http:" + "x" * 90 + "2")
    assert one.model_name != other.model_name
    assert len(one.model_name) == len(other.model_name) == 64


@pytest.mark.usefixtures("own_registry")
def test_tools_that_a_model_could_not_tell_apart_are_not_granted_together() -> None:
    both = Family(make=lambda name, caller: [made("a.b"), made("a b")], fault=str)
    registry.register_family("x", both)
    with pytest.raises(ToolRefused, match="both 'a_b'") as refused:
        asyncio.run(granted(["x:any"], NOBODY))
    assert refused.value.code == "ambiguous_tools"


# --- schemas ------------------------------------------------------------------------


def test_the_twelve_meta_tools_are_there() -> None:
    wanted = {
        *(f"{verb}_role" for verb in ("create", "update", "delete")),
        *(f"{verb}_orchestration" for verb in ("create", "get", "update", "delete")),
        *(f"list_{what}" for what in ("roles", "orchestrations", "executions")),
        "execute_orchestration",
        "get_execution_status",
    }
    assert set(meta_tools()) == {f"system.{name}" for name in wanted}
    assert all(each.is_audited and each.grant == META for each in meta_tools().values())


def test_every_meta_tool_is_described_as_providers_take_it() -> None:
    for each in meta_tools().values():
        text = json.dumps(each.schema)
        assert each.schema["type"] == "object"
        assert "$ref" not in text
        assert "$defs" not in text
        assert each.description
        assert len(each.description) < 1024
        assert len(each.model_name) <= 64


def test_a_step_is_explained_well_enough_to_write_one() -> None:
    schema = meta_tools()["system.create_orchestration"].schema
    steps = schema["properties"]["steps"]["description"]
    for word in ("role_name", "input_mapping", "context.input", "condition", "loop"):
        assert word in steps
    assert schema["required"] == ["name", "steps"]
    assert meta_tools()["system.create_role"].schema["required"] == ["name", "kind"]


def test_fields_of_a_change_show_no_defaults() -> None:
    for name in ("system.update_role", "system.update_orchestration"):
        schema = meta_tools()[name].schema
        assert schema["required"] == ["changes"]
        fields = schema["properties"]["changes"]["properties"]
        assert "description" in fields
        assert all("default" not in field for field in fields.values())


def test_references_are_put_in_place() -> None:
    schema = as_arguments(Several.model_json_schema())
    assert schema["properties"]["inner"]["properties"]["size"]["type"] == "integer"
    assert "$defs" not in schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "https://example.org/schema"}}},
        {"$ref": "#"},
        None,
        {},
    ],
)
def test_a_schema_that_no_provider_takes_is_left_open(schema: Any) -> None:
    assert as_arguments(schema) == {"type": "object", "properties": {}}


def test_a_schema_whose_references_fan_out_is_left_open() -> None:
    definitions: dict[str, Any] = {"x0": {"type": "string"}}
    for level in range(1, 20):
        below = {"$ref": f"#/$defs/x{level - 1}"}
        definitions[f"x{level}"] = {"properties": {"a": below, "b": below}}
    whole = {"$defs": definitions, "properties": {"all": {"$ref": "#/$defs/x19"}}}
    assert as_arguments(whole) == {"type": "object", "properties": {}}


def test_a_property_may_be_called_definitions() -> None:
    schema = {"properties": {"definitions": {"type": "string"}}}
    assert as_arguments(schema)["properties"] == schema["properties"]


# --- arguments ----------------------------------------------------------------------


def test_arguments_are_read() -> None:
    assert parsed(Several, {"name": "x", "inner": {"size": 3}}).inner.size == 3


def test_every_misfit_is_named_with_its_place() -> None:
    with pytest.raises(ToolRefused) as refused:
        parsed(Several, {"nam": "x", "count": 0, "inner": {"size": "large"}})
    told = refused.value.as_json()["error"]
    assert told["code"] == "invalid_arguments"
    found = {each["pointer"]: each["detail"] for each in told["errors"]}
    assert set(found) == {"/nam", "/name", "/count", "/inner/size"}
    assert "Did you mean 'name'?" in found["/nam"]
    assert "required" in found["/name"]
    assert "(3 more)" in told["detail"]


def test_what_cannot_be_stored_is_refused_before_it_is_read() -> None:
    with pytest.raises(ToolRefused) as refused:
        parsed(Several, {"name": "a\0b"})
    assert refused.value.problems[0].pointer == "/name"


def test_a_document_comes_as_it_was_sent() -> None:
    edit = parsed(Edit, {"changes": {"titel": 7, "_sent": {}}})
    assert edit.changes.sent == {"titel": 7, "_sent": {}}


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(ToolRefused) as refused:
        parsed(Edit, {"changes": [1]})
    assert refused.value.problems[0].pointer == "/changes"


@pytest.mark.usefixtures("own_registry")
def test_functions_are_run_in_a_thread_and_coroutines_are_awaited() -> None:
    @tool("system.plain")
    def plain(arguments: Several, caller: Caller) -> str:
        """Do it."""
        return arguments.name

    @tool("system.awaited")
    async def awaited(arguments: Several, caller: Caller) -> str:
        """Do it later."""
        return arguments.name

    known = meta_tools()
    assert known["system.plain"].blocking
    assert not known["system.awaited"].blocking
    assert known["system.plain"].call({"name": "x"}, NOBODY) == "x"
    coming: Any = known["system.awaited"].call({"name": "y"}, NOBODY)
    assert asyncio.run(coming) == "y"


# --- grants -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grant", "hint"),
    [
        ("Meta", "Did you mean 'meta'?"),
        ("functions:text.upper", "function:<name>"),
        ("function:text.uper", "Did you mean 'text.upper'?"),
        ("function:", "There is no function"),
        ("http: ", "http:<role name>"),
        ("orchestration:", "orchestration:<name>"),
        ("system.create_role", "meta"),
    ],
)
def test_an_entry_that_grants_nothing_is_a_fault(grant: str, hint: str) -> None:
    (problem,) = grant_problems(["meta", grant])
    assert (problem.pointer, problem.code) == ("/tools/1", "unknown_tool")
    assert hint in problem.detail


def test_sound_entries_have_no_fault() -> None:
    grants = ["meta", "function:text.upper", "http:Mail", "orchestration:A b"]
    assert grant_problems(grants) == []


def test_a_grant_of_an_unknown_family_is_refused() -> None:
    with pytest.raises(ToolRefused, match="There is no tool 'x:y'"):
        asyncio.run(granted(["x:y"], NOBODY))


def test_without_meta_no_meta_tool_is_granted() -> None:
    found = asyncio.run(granted(["function:text.upper"], NOBODY))
    assert set(found) == {"function:text.upper"}


# --- provenance ---------------------------------------------------------------------


def test_what_a_person_makes_has_no_provenance() -> None:
    assert Caller(actor=Actor(user_id=1), user_id=1, call_key="k").provenance is None


def test_what_an_agent_makes_names_its_execution_step_role_and_call() -> None:
    actor = Actor(execution_id="e", step_path="plan[1]/write", role_name="Builder")
    caller = Caller(actor=actor, user_id=1, call_key="k")
    assert caller.provenance == {
        "execution_id": "e",
        "step_path": "plan[1]/write",
        "role_name": "Builder",
        "call_key": "k",
    }
