"""Rules for single fields of configs: templates in place of values, and objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core_orchestration.validation.shapes import Rule
from roles.problems import Problem, child, did_you_mean, kind_of, quoted


def is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def or_template(rule: Rule, wanted: str) -> Rule:
    """Let a text with a placeholder stand for what the rule wants, which is no text."""

    def either(value: Any, pointer: str) -> Iterator[Problem]:
        if isinstance(value, str) and not is_template(value):
            detail = (
                f"This must be {wanted}, or a template with a placeholder in "
                f"{{{{ }}}} that gives one, not the text {quoted(value)}."
            )
            yield Problem(pointer, "wrong_type", detail)
        elif not isinstance(value, str):
            yield from rule(value, pointer)

    return either


def template(value: Any, pointer: str) -> Iterator[Problem]:
    if value is None:
        detail = "This must be a template, not null; leave it out to have none."
        yield Problem(pointer, "wrong_type", detail)


def unless_template(rule: Rule) -> Rule:
    """Hold what is fixed to the rule; what placeholders give is not known yet."""

    def fixed(value: Any, pointer: str) -> Iterator[Problem]:
        if not is_template(value):
            yield from rule(value, pointer)

    return fixed


def object_of(fields: Mapping[str, Rule], what: str) -> Rule:
    """Hold an object's fields to their rules, and refuse all others."""

    def rule(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            detail = f"{what} is an object, not {kind_of(value)}."
            yield Problem(pointer, "wrong_type", detail)
            return
        for name, inner in value.items():
            at = child(pointer, name)
            if name in fields:
                yield from fields[name](inner, at)
            else:
                hint = did_you_mean(name, fields)
                detail = f"There is no field {quoted(name)} here.{hint}"
                yield Problem(at, "unknown_field", detail)

    return rule
