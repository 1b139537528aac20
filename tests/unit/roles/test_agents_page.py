"""docs/agents.md: its tables name all that there is, and its program runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from roles.runners.agent.settings import AgentSettings, Approval, CodeMode
from roles.runners.codemode import run_program
from roles.runners.constraints import Constraints
from roles.runners.hosting import OfferedTool
from roles.toolkit import Policy, meta_tools

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()
PROGRAM = PAGE.partition("```python\n")[2].partition("```")[0]
SYNONYMS = {"model"}  # of other fields
ANSWERS = {
    "system.list_roles": {"roles": [], "next_cursor": None},
    "system.create_role": {},
    "system.create_orchestration": {"id": "7"},
    "system.execute_orchestration": {"status": "completed", "output": "Hello"},
}
_NAME = re.compile(r"`([\w.]+)`")

Table = list[list[str]]


def tables() -> Iterator[Table]:
    """Return the tables of the page, each row by its cells, the title's row first."""
    table: Table = []
    for line in [*PAGE.splitlines(), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.split("|")[1:-1]])
        elif table:
            yield table
            table = []


def names(text: str) -> list[str]:
    return _NAME.findall(text)


def titled(title: str) -> Table:
    return next(table[2:] for table in tables() if table[0][0] == title)


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("`config`", AgentSettings),
        ("`model_constraints`", Constraints),
        ("`code_mode`", CodeMode),
        ("`config.approval`", Approval),
    ],
)
def test_a_table_names_all_fields_and_no_others(
    title: str, model: type[BaseModel]
) -> None:
    told = {name for row in titled(title) for name in names(row[0])}
    assert told - SYNONYMS == set(model.model_fields)


def test_the_policys_table_has_all_fields_with_their_defaults() -> None:
    table = next(each for each in tables() if "`max_fan_out`" in dict_of(each))
    told: dict[str, str] = {}
    for fields, _, default in table[2:]:
        several = names(fields)
        texts = default.split(", ") if len(several) > 1 else [default]
        told |= dict(zip(several, texts, strict=True))
    assert told.pop("budget") == "no limit"
    others = set(Policy.model_fields) - {"budget"}
    assert told == {name: spelled(getattr(Policy(), name)) for name in others}


def test_the_table_of_meta_tools_has_them_all_with_all_their_arguments() -> None:
    told = {row[0].strip("`"): set(names(row[1])) for row in titled("tool")}
    assert told == {
        name: set(tool.schema["properties"]) for name, tool in meta_tools().items()
    }


def test_the_example_of_code_mode_runs() -> None:
    asked: list[str] = []

    async def call(name: str, arguments: Any) -> Any:
        asked.append(name)
        return ANSWERS[name]

    done = asyncio.run(run_program(PROGRAM, offered(), call))

    assert done.error is None
    assert (done.output, done.result) == ("2 were started\n", ["Hello", "Hello"])
    assert asked == [*ANSWERS, "system.execute_orchestration"]


def dict_of(table: Table) -> dict[str, list[str]]:
    return {row[0]: row for row in table}


def offered() -> list[OfferedTool]:
    return [
        OfferedTool(
            name=tool.name,
            model_name=tool.model_name,
            description=tool.description,
            schema=tool.schema,
        )
        for tool in meta_tools().values()
    ]


def spelled(value: Any) -> str:
    """Write a default as the page does."""
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{each}"' for each in value) + "]`"
    if isinstance(value, bool):
        return f"`{json.dumps(value)}`"
    return f"`{value}`" if isinstance(value, str) else str(value)
