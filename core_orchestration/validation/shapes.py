"""The type and range of single fields: one small rule for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from re import Pattern
from typing import Any

from roles.problems import Problem, child, kind_of, listing, quoted

from .report import Report

Rule = Callable[[Any, str], Iterator[Problem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a field may hold; null only where null means "none"."""

    rule: Rule
    nullable: bool = False


def _wrong_type(pointer: str, wanted: str, value: Any) -> Problem:
    detail = f"This must be {wanted}, not {kind_of(value)}."
    return Problem(pointer, "wrong_type", detail)


def text(longest: int, *, blank: bool = False) -> Rule:
    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield _wrong_type(pointer, "text", value)
        elif not blank and not value.strip():
            yield Problem(pointer, "blank", "This must not be empty.")
        elif len(value) > longest:
            detail = f"This has {len(value):,} characters; at most {longest:,} fit."
            yield Problem(pointer, "too_long", detail)

    return rule


def name_like(pattern: Pattern[str], allowed: str) -> Rule:
    """Hold a name to a pattern, which `allowed` puts into words."""

    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield _wrong_type(pointer, "text", value)
        elif not pattern.fullmatch(value):
            detail = f"{quoted(value)} cannot be a name here: use {allowed}."
            yield Problem(pointer, "invalid_name", detail)

    return rule


def whole_number(least: int, most: int) -> Rule:
    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int):
            yield _wrong_type(pointer, "a whole number", value)
        elif not least <= value <= most:
            yield _out_of_range(pointer, least, most)

    return rule


def number(least: float, most: float) -> Rule:
    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _wrong_type(pointer, "a number", value)
        elif not (isfinite(value) and least <= value <= most):
            yield _out_of_range(pointer, least, most)

    return rule


def _out_of_range(pointer: str, least: float, most: float) -> Problem:
    detail = f"This must lie between {least:,} and {most:,}."
    return Problem(pointer, "out_of_range", detail)


def boolean(value: Any, pointer: str) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield _wrong_type(pointer, "true or false", value)


def mapping(value: Any, pointer: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(pointer, "an object", value)


def sequence(value: Any, pointer: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _wrong_type(pointer, "a list", value)


def anything(value: Any, pointer: str) -> Iterator[Problem]:
    yield from ()


def one_of(*choices: str) -> Rule:
    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if value not in choices:
            detail = f"This must be one of {listing(choices)}, not {quoted(value)}."
            yield Problem(pointer, "unknown_choice", detail)

    return rule


def texts(most: int, longest: int) -> Rule:
    each = text(longest)

    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield _wrong_type(pointer, "a list of texts", value)
            return
        if len(value) > most:
            detail = f"There are {len(value):,} entries; at most {most:,} fit."
            yield Problem(pointer, "too_long", detail)
        for place, item in enumerate(value[:most]):
            yield from each(item, child(pointer, place))

    return rule


def check_fields(
    sent: Mapping[str, Any],
    pointer: str,
    fields: Mapping[str, Field],
    read_only: frozenset[str],
    report: Report,
) -> frozenset[str]:
    """Report unknown and wrongly typed fields; return the names of the sound ones."""
    sound = []
    for name, value in sent.items():
        field = fields.get(name)
        if field is None:
            if name not in read_only:
                _report_unknown(name, pointer, fields, report)
            continue
        if value is None and field.nullable:
            continue
        problems = list(field.rule(value, child(pointer, name)))
        report.extend(problems)
        if not problems:
            sound.append(name)
    return frozenset(sound)


def _report_unknown(
    name: str, pointer: str, fields: Mapping[str, Field], report: Report
) -> None:
    hint = report.suggest(name, fields)
    detail = f"There is no field {quoted(name)} here.{hint}"
    report.add(child(pointer, name), "unknown_field", detail)
