"""The patterns' definitions: all of them valid, used, and named in the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core_orchestration.validation import (
    OrchestrationDirectory,
    RoleDirectory,
    validate,
)
from tests.patterns.patterns import (
    DEFINITIONS,
    ROLES,
    names,
    read,
    stem_of,
    steps_of,
)

HERE = Path(__file__).parent
TABLE = HERE.parent.parent / "docs" / "patterns.md"
KNOWN = RoleDirectory.of(
    {f"01890000-0000-7000-8000-{n:012}": name for n, name in enumerate(ROLES)}
)


@pytest.mark.parametrize("name", names())
def test_a_definition_is_valid_and_says_what_it_does(name: str) -> None:
    document = read(name)
    others = {
        f"01890000-0000-7000-9000-{n:012}": read(other)["name"]
        for n, other in enumerate(names())
        if other != name
    }

    known = OrchestrationDirectory.of(others)

    assert validate(document, KNOWN, orchestrations=known) == []
    assert document["description"].endswith(".")
    assert stem_of(document["name"]) == name


def test_every_definition_is_run_by_a_test() -> None:
    tests = "\n".join(path.read_text() for path in HERE.glob("test_*.py"))
    run = set(re.findall(r'pattern\(\s*"(\w+)"', tests))
    started = {
        stem_of(step["config"]["orchestration_name"])
        for name in run
        for step in steps_of(read(name))
        if step.get("step_type") == "orchestration"
    }
    assert sorted(run | started) == names()


def test_the_table_names_every_definition_and_no_other_file() -> None:
    text = TABLE.read_text(encoding="utf-8")
    linked = re.findall(r"\]\((\.\./tests/patterns/[^)]+)\)", text)
    named = {Path(path).stem for path in linked if path.endswith(".json")}
    assert sorted(named) == names()
    assert [path for path in linked if not (TABLE.parent / path).exists()] == []


def test_the_definitions_are_all_that_lies_beside_them() -> None:
    assert sorted(path.stem for path in DEFINITIONS.iterdir()) == names()


def test_every_pattern_of_the_initiative_has_its_line_in_the_table() -> None:
    text = TABLE.read_text(encoding="utf-8")
    numbers = [
        int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    ]
    assert sorted(numbers) == list(range(1, 44))
