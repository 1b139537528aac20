"""Whether a JSON Schema may be used: valid, self-contained and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

from roles.problems import Problem, child, kind_of, quoted
from roles.storable import storable_problems

from .check import Check, TooManySteps
from .fitting import KEYWORDS, MAX_PROBLEMS, UNUSABLE, value_problems
from .patterns import PatternError
from .references import NoTarget, parts
from .values import compact_json

MAX_LENGTH = 100_000
_BASE = "https://json-schema.org/draft/2020-12"
DIALECT = f"{_BASE}/schema"


def schema_problems(schema: Any, pointer: str = "") -> list[Problem]:
    """List what keeps a value from being a usable JSON Schema of Draft 2020-12."""
    if not isinstance(schema, Mapping):
        detail = f"A JSON Schema is an object, not {kind_of(schema)}."
        return [Problem(pointer, "wrong_type", detail)]
    return (
        storable_problems(schema, pointer)
        or _excess(schema, pointer)
        or _misuses(schema, pointer)
        or _limited(schema, pointer)
        or _endless(schema, pointer)
    )


def _excess(schema: Any, pointer: str) -> list[Problem]:
    length = len(compact_json(schema))
    if length <= MAX_LENGTH:
        return []
    detail = f"The schema has {length:,} characters; at most {MAX_LENGTH:,} fit."
    return [Problem(pointer, "too_long", detail)]


def _misuses(schema: Any, pointer: str) -> list[Problem]:
    problems = [
        Problem(
            each.pointer, "invalid_schema", f"The schema is not valid: {each.detail}"
        )
        for each in value_problems(_meta_schema(), schema, pointer)
    ]
    return list(dict.fromkeys(problems))  # each vocabulary wants an object


@cache
def _meta_schema() -> Mapping[str, Any]:
    """Put the schema of schemas, which comes in pieces, into one piece."""
    meta = REGISTRY.contents(DIALECT)
    names = [each["$ref"].removeprefix("meta/") for each in meta["allOf"]]
    vocabularies = {
        name: _moved(REGISTRY.contents(f"{_BASE}/meta/{name}"), name) for name in names
    }
    return {**_moved(meta, ""), "$defs": vocabularies}


def _moved(node: Any, vocabulary: str) -> Any:
    """Rewrite the references of a piece to where they lead in the whole."""
    if isinstance(node, list):
        return [_moved(each, vocabulary) for each in node]
    if not isinstance(node, Mapping):
        return node
    if node.get("$dynamicRef") == "#meta":
        return {"$ref": "#"}
    moved = {name: _moved(each, vocabulary) for name, each in node.items()}
    if isinstance(node.get("$ref"), str):
        piece, _, fragment = node["$ref"].partition("#")
        moved["$ref"] = f"#/$defs/{piece.removeprefix('meta/') or vocabulary}{fragment}"
    return moved


def _limited(schema: Mapping[str, Any], pointer: str) -> list[Problem]:
    check = Check(schema, KEYWORDS)
    try:
        return list(islice(_limits(schema, pointer, check), MAX_PROBLEMS))
    except TooManySteps:
        detail = "The patterns of this schema are too large together; use simpler ones."
        return [Problem(pointer, "invalid_pattern", detail)]


def _limits(schema: Any, pointer: str, check: Check) -> Iterator[Problem]:
    for below, part in parts(schema, pointer):
        yield from _restrictions(part, below, is_root=part is schema)
        yield from _pattern_problems(part, below, check)
        yield from _reference_problems(part, below, check)


def _restrictions(
    part: Mapping[str, Any], pointer: str, *, is_root: bool
) -> Iterator[Problem]:
    dialect = part.get("$schema", DIALECT)
    if is_root and dialect.rstrip("#") == DIALECT:
        return
    for keyword in ("$schema", "$id"):
        if keyword in part and not (is_root and keyword == "$id"):
            detail = f"Only Draft 2020-12 in one piece is read; leave out {keyword}."
            yield Problem(child(pointer, keyword), "unsupported_keyword", detail)


def _pattern_problems(
    part: Mapping[str, Any], pointer: str, check: Check
) -> Iterator[Problem]:
    patterns = [
        (child(pointer, "patternProperties", name), name)
        for name in part.get("patternProperties", ())
    ]
    if "pattern" in part:
        patterns.append((child(pointer, "pattern"), part["pattern"]))
    for below, pattern in patterns:
        try:
            check.matcher(pattern)
        except PatternError as error:
            yield Problem(below, "invalid_pattern", str(error))


def _reference_problems(
    part: Mapping[str, Any], pointer: str, check: Check
) -> Iterator[Problem]:
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in part:
            below, target = child(pointer, keyword), part[keyword]
            if not target.startswith("#"):
                detail = (
                    f"{quoted(target)} lies outside this schema and is not fetched; "
                    "copy it under $defs and refer to #/$defs/<name>."
                )
                yield Problem(below, "remote_reference", detail)
                continue
            try:
                check.target(target)
            except NoTarget as error:
                yield Problem(below, "unknown_reference", f"{error.args[0]}.")


def _endless(schema: Mapping[str, Any], pointer: str) -> list[Problem]:
    return [
        Problem(pointer, each.code, "The schema refers to itself without end.")
        for each in value_problems(schema, None, pointer)
        if each.code in UNUSABLE
    ]
