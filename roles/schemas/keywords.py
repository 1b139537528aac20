"""
What the keywords of JSON Schema mean, save those of objects and lists.

A keyword takes the check, its own rule, the value, the schema around it and the
place of the value, and gives the misfits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from roles.problems import kind_of, listing, quoted, shorten

from .check import Check, Keyword, Misfit, Place, Rules
from .values import is_number, same


def _is_integer(value: Any) -> bool:
    return is_number(value) and (isinstance(value, int) or value.is_integer())


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "null": lambda value: value is None,
    "number": is_number,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}


def invalid(place: Place, detail: str) -> tuple[Misfit]:
    return (Misfit(place, "invalid_value", detail),)


def shown(value: Any) -> str:
    """Write a text or a number as it is, and name the kind of anything else."""
    if is_number(value):
        return shorten(str(value))
    return quoted(value) if isinstance(value, str) else kind_of(value)


def _type(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    wanted = (rule,) if isinstance(rule, str) else rule
    check.spend(len(wanted))
    for each in wanted:
        if _TYPES[each](value):
            return ()
    names = " or ".join(wanted)
    detail = f"This must be of type {names}, not {kind_of(value)}"
    return (Misfit(place, "wrong_type", detail),)


def _enum(
    check: Check, rule: list[Any], value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    check.weigh_rule(rule)
    if any(same(each, value) for each in rule):
        return ()
    allowed = listing(map(_choice, rule))
    return invalid(place, f"{shown(value)} is not one of {allowed}")


def _const(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    check.weigh_rule(rule)
    if same(rule, value):
        return ()
    return invalid(place, f"This must be {_choice(rule)}, not {shown(value)}")


def _choice(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return shown(value)


def _pattern(
    check: Check, rule: str, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    matches = check.matcher(rule)
    if not isinstance(value, str) or matches(value):
        return ()
    return invalid(place, f"{quoted(value)} does not match {quoted(rule)}")


def _multiple_of(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    if not is_number(value) or _is_multiple(value, rule):
        return ()
    return invalid(place, f"{shown(value)} is not a multiple of {rule}")


def _is_multiple(value: float, of: float) -> bool:
    if isinstance(of, int):
        return value % of == 0
    try:
        quotient = value / of
        return int(quotient) == quotient
    except OverflowError:
        return (Fraction(value) / Fraction(of)).denominator == 1


def _limit(
    applies: Callable[[Any], bool],
    measure: Callable[[Any], Any],
    fits: Callable[[Any, Any], bool],
    said: str,
) -> Keyword:
    def limit(
        check: Check, rule: Any, value: Any, rules: Rules, place: Place
    ) -> Iterable[Misfit]:
        if not applies(value) or fits(measure(value), rule):
            return ()
        return invalid(place, said.format(measure(value), rule))

    return limit


def _number(value: float) -> float:
    return value


def _reference(
    check: Check, rule: str, value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    return check.misfits(check.target(rule), value, place)


def _all_of(
    check: Check, rule: list[Any], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    for each in rule:
        yield from check.misfits(each, value, place)


def _any_of(
    check: Check, rule: list[Any], value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    if any(check.fits(each, value) for each in rule):
        return ()
    return invalid(place, f"This fits none of the {len(rule)} alternatives")


def _one_of(
    check: Check, rule: list[Any], value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    count = sum(check.fits(each, value) for each in rule)
    if count == 1:
        return ()
    alternatives = f"{count} of {len(rule)} alternatives"
    return invalid(place, f"This fits {alternatives}; it must fit exactly one")


def _not(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    if not check.fits(rule, value):
        return ()
    return invalid(place, "This fits what the schema rules out with `not`")


def _if(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    branch = rules.get("then" if check.fits(rule, value) else "else", True)
    return check.misfits(branch, value, place)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_array(value: Any) -> bool:
    return isinstance(value, list)


KEYWORDS: Mapping[str, Keyword] = {
    "$ref": _reference,
    "$dynamicRef": _reference,  # the schema is in one piece, so its scope is fixed
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "multipleOf": _multiple_of,
    **{
        name: _limit(is_number, _number, fits, said)
        for name, fits, said in (
            ("minimum", operator.ge, "{} is less than {}"),
            ("maximum", operator.le, "{} is more than {}"),
            ("exclusiveMinimum", operator.gt, "{} is not more than {}"),
            ("exclusiveMaximum", operator.lt, "{} is not less than {}"),
        )
    },
    **{
        name: _limit(applies, len, fits, f"This has {{:,}} {what} {{:,}}")
        for name, applies, fits, what in (
            ("minLength", _is_text, operator.ge, "characters; it needs at least"),
            ("maxLength", _is_text, operator.le, "characters; it may have at most"),
            ("minItems", _is_array, operator.ge, "items; it needs at least"),
            ("maxItems", _is_array, operator.le, "items; it may have at most"),
            ("minProperties", _is_object, operator.ge, "fields; it needs at least"),
            ("maxProperties", _is_object, operator.le, "fields; it may have at most"),
        )
    },
}
