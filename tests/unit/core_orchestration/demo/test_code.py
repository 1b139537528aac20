"""Generated code: written, checked without being run, released by its content."""

from __future__ import annotations

import dataclasses
import sys
from types import ModuleType
from typing import Any

import pytest

from core_orchestration.demo.code import check_record, deploy, generate_record
from roles.functions import FunctionFailed

FIELDS = [
    {"name": "note", "type": "text", "required": False},
    {"name": "order_id", "type": "text"},
    {"name": "ordered_on", "type": "date"},
    {"name": "quantity", "type": "integer"},
]
ASKED = {"name": "SalesOrder", "fields": FIELDS}


def checked(text: str) -> dict[str, Any]:
    return check_record({**ASKED, "text": text})


def codes(text: str) -> list[str]:
    return [error["code"] for error in checked(text)["errors"]]


def test_what_is_generated_works_and_passes_the_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = generate_record({**ASKED, "description": "An 'order'."})["code"]
    module = ModuleType("generated")
    monkeypatch.setitem(sys.modules, "generated", module)
    exec(code, module.__dict__)  # noqa: S102  (this very test is about it)
    record = module.SalesOrder
    order = record(order_id="1", ordered_on=None, quantity=2)
    assert [field.name for field in dataclasses.fields(order)][-1] == "note"
    assert record.__doc__ == "An 'order'."
    assert checked(code) == {
        "passed": True,
        "errors": [],
        "warnings": [],
        "lines": len(code.splitlines()),
        "code": code,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"name": "class", "fields": FIELDS},
        {"name": "A", "fields": [{"name": "import", "type": "text"}]},
        {"name": "A", "fields": [{"name": "a b", "type": "text"}]},
        {"name": "A", "fields": [FIELDS[1], FIELDS[1]]},
    ],
)
def test_names_that_python_does_not_take_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(FunctionFailed) as caught:
        generate_record(given)
    assert caught.value.type == "bad_name"


def test_a_description_cannot_break_out_of_its_place() -> None:
    code = generate_record({**ASKED, "description": "'''\"\"\"\nimport os\n"})["code"]
    assert checked(code)["passed"]
    assert "\nimport os" not in code


def test_a_fenced_answer_of_a_model_is_checked_as_well() -> None:
    code = generate_record(ASKED)["code"]
    assert checked(f"Here it is:\n```python\n{code}```\nGood luck!")["code"] == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I would rather not.", ["syntax"]),
        ("\0", ["syntax"]),
        ("", ["missing"]),
        ("class SalesOrder: pass", ["missing"] * 4),
        ("class SalesOrder: pass\neval('1')", ["forbidden", *["missing"] * 4]),
        (
            "class SalesOrder:\n order_id: int\n ordered_on: date\n quantity: int\n"
            " note: str | None = None\n more: int",
            ["type", "unasked"],
        ),
    ],
)
def test_code_that_is_something_else_is_refused(text: str, expected: list[str]) -> None:
    assert codes(text) == expected
    assert checked(text)["passed"] is False


def test_what_could_be_better_is_a_warning() -> None:
    code = generate_record(ASKED)["code"].replace("@dataclass(frozen=True)\n", "")
    assert [each["code"] for each in checked(code)["warnings"]] == ["mutable"]


def test_the_same_code_is_released_under_the_same_name() -> None:
    code = generate_record(ASKED)["code"]
    released = deploy({"name": "SalesOrder", "code": code})
    assert released == deploy({"name": "SalesOrder", "code": code})
    assert released["classes"] == ["SalesOrder"]
    other = deploy({"name": "SalesOrder", "code": code + "\n"})
    assert other["artifact"] != released["artifact"]


def test_what_does_not_parse_is_not_released() -> None:
    with pytest.raises(FunctionFailed) as caught:
        deploy({"name": "A", "code": "class"})
    assert caught.value.type == "not_python"
