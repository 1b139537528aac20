"""
Write a Python record, check generated code without running it, release it.

The checks read an answer of any author, fenced or not, so the generator's role can
be given to a model without a change to the rest.
"""

from __future__ import annotations

import ast
import hashlib
import keyword
import re
from collections.abc import Iterator
from typing import Any

from roles.functions import FunctionFailed, function

Fault = dict[str, str]
Field = dict[str, Any]

TYPES = {
    "text": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "date": "date",
}
_FENCE = re.compile(r"```[a-z]*[ \t]*\n(.*?)```", re.DOTALL)
_FORBIDDEN = frozenset({"eval", "exec", "compile", "__import__", "open", "input"})


@function("demo.generate_record")
def generate_record(given: dict[str, Any]) -> dict[str, Any]:
    """Write a module with a frozen dataclass `name` of the `fields`, optional last."""
    fields = sorted(given["fields"], key=lambda field: not _is_required(field))
    _check_names([given["name"], *(field["name"] for field in fields)])
    about = given.get("description") or f"A record of {len(fields)} fields."
    needs_date = any(field["type"] == "date" for field in fields)
    lines = [
        "from __future__ import annotations",
        "",
        "from dataclasses import dataclass",
        *(["from datetime import date"] if needs_date else []),
        "",
        "",
        "@dataclass(frozen=True)",
        f"class {given['name']}:",
        f"    {about!r}",
        "",
        *(f"    {_declaration(field)}" for field in fields),
        "",
    ]
    return {"code": "\n".join(lines), "fields": len(fields)}


@function("demo.check_record")
def check_record(given: dict[str, Any]) -> dict[str, Any]:
    """Parse the code in `text`, and compare its record with what was asked for."""
    code = _code(given["text"])
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as problem:
        return _report(code, [_fault("syntax", f"Not Python: {problem}")], [])
    records = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    record = records.get(given["name"])
    errors = [*_forbidden_calls(tree)]
    if record is None:
        missing = f"There is no class {given['name']!r}."
        return _report(code, [_fault("missing", missing), *errors], [])
    errors += _field_faults(record, given["fields"])
    return _report(code, errors, list(_warnings(record)))


@function("demo.deploy")
def deploy(given: dict[str, Any]) -> dict[str, Any]:
    """Release `code` under a name made of its content: the same code, the same name."""
    code = given["code"]
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as problem:
        raise FunctionFailed(
            f"Code that does not parse is not released: {problem}.", type="not_python"
        ) from None
    digest = hashlib.sha256(code.encode()).hexdigest()
    return {
        "artifact": f"{given['name'].lower()}-{digest[:12]}.py",
        "sha256": digest,
        "lines": len(code.splitlines()),
        "bytes": len(code.encode()),
        "classes": [node.name for node in tree.body if isinstance(node, ast.ClassDef)],
    }


def _is_required(field: Field) -> bool:
    return bool(field.get("required", True))


def _check_names(names: list[str]) -> None:
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise FunctionFailed(
                f"{name!r} cannot be a name in Python.", type="bad_name"
            )
    if len(set(names)) < len(names):
        raise FunctionFailed("Two fields have the same name.", type="bad_name")


def _annotation(field: Field) -> str:
    return TYPES[field["type"]] + ("" if _is_required(field) else " | None")


def _declaration(field: Field) -> str:
    default = "" if _is_required(field) else " = None"
    return f"{field['name']}: {_annotation(field)}{default}"


def _code(text: str) -> str:
    """Return the last fenced block of a text, or the text when it has none."""
    blocks = _FENCE.findall(text)
    return blocks[-1] if blocks else text


def _report(code: str, errors: list[Fault], warnings: list[Fault]) -> dict[str, Any]:
    return {
        "passed": not errors,
        "errors": errors,
        "warnings": warnings,
        "lines": len(code.splitlines()),
        "code": code,
    }


def _field_faults(record: ast.ClassDef, wanted: list[Field]) -> Iterator[Fault]:
    found = {
        node.target.id: ast.unparse(node.annotation)
        for node in record.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for field in wanted:
        name, annotation = field["name"], _annotation(field)
        if name not in found:
            yield _fault("missing", f"{record.name} has no field {name!r}.")
        elif found[name] != annotation:
            detail = f"{name} is {found[name]} instead of {annotation}."
            yield _fault("type", detail)
    for name in found.keys() - {field["name"] for field in wanted}:
        yield _fault("unasked", f"Nobody asked for the field {name!r}.")


def _forbidden_calls(tree: ast.Module) -> Iterator[Fault]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in _FORBIDDEN:
                yield _fault("forbidden", f"Line {node.lineno} calls {name}().")


def _warnings(record: ast.ClassDef) -> Iterator[Fault]:
    if ast.get_docstring(record) is None:
        yield _fault("docstring", f"{record.name} has no docstring.")
    if not any("frozen=True" in ast.unparse(each) for each in record.decorator_list):
        yield _fault("mutable", f"{record.name} is not frozen.")


def _fault(code: str, detail: str) -> Fault:
    return {"code": code, "detail": detail}
