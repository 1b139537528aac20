"""What the keywords of objects and lists mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from roles.problems import did_you_mean, quoted

from .check import Check, Keyword, Misfit, Place, Rules
from .keywords import invalid
from .values import identity

_MOST_NAMES = 200  # among which a similar one is looked for
_HINT = 20  # what comparing two names costs
_KEY = 2  # what remembering an item costs


def _properties(
    check: Check, rule: dict[str, Any], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    if isinstance(value, dict):
        fewer = rule if len(rule) <= len(value) else value
        check.spend(len(fewer))
        for name in fewer:
            if name in rule and name in value:
                yield from check.misfits(rule[name], value[name], (place, name))


def _pattern_properties(
    check: Check, rule: dict[str, Any], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    for pattern, inner in rule.items():
        matches = check.matcher(pattern)
        for name in filter(matches, value if isinstance(value, dict) else ()):
            yield from check.misfits(inner, value[name], (place, name))


def _additional_properties(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    if isinstance(value, dict):
        known = rules.get("properties", {})
        for name in _others(check, value, known, rules.get("patternProperties", ())):
            if rule is False:
                yield _unknown(check, name, known, place)
            else:
                yield from check.misfits(rule, value[name], (place, name))


def _others(
    check: Check, value: Iterable[str], known: Any, patterns: Iterable[str]
) -> Iterator[str]:
    matchers = [check.matcher(pattern) for pattern in patterns]
    for name in value:
        check.spend(1)
        if name not in known and not any(matches(name) for matches in matchers):
            yield name


def _unknown(check: Check, name: str, known: Mapping[str, Any], at: Place) -> Misfit:
    hint = ""
    if len(known) <= _MOST_NAMES:
        check.spend(_HINT * len(known))
        hint = did_you_mean(name, known)
    detail = f"{quoted(name)} is not a field of this object.{hint}"
    return Misfit((at, name), "unknown_field", detail)


def _property_names(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    for name in value if isinstance(value, dict) else ():
        for misfit in check.misfits(rule, name, place):
            detail = f"The name {quoted(name)} does not fit: {misfit.detail}"
            yield Misfit(place, misfit.code, detail)


def _required(
    check: Check, rule: list[str], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    check.spend(len(rule))
    for name in rule if isinstance(value, dict) else ():
        if name not in value:
            detail = f"{quoted(name)} is a required property"
            yield Misfit(place, "required", detail)


def _dependent_required(
    check: Check, rule: dict[str, Any], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    check.spend(len(rule))
    for name, needed in rule.items() if isinstance(value, dict) else ():
        for other in needed if name in value else ():
            check.spend(1)
            if other not in value:
                detail = f"{quoted(other)} is required where {quoted(name)} is given"
                yield Misfit(place, "required", detail)


def _dependent_schemas(
    check: Check, rule: dict[str, Any], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    check.spend(len(rule))
    for name, inner in rule.items() if isinstance(value, dict) else ():
        if name in value:
            yield from check.misfits(inner, value, place)


def _prefix_items(
    check: Check, rule: list[Any], value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    pairs = zip(rule, value if isinstance(value, list) else (), strict=False)
    for index, (inner, item) in enumerate(pairs):
        yield from check.misfits(inner, item, (place, index))


def _items(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    if not isinstance(value, list):
        return
    first = len(rules.get("prefixItems", ()))
    if rule is False and len(value) > first:
        yield from invalid(place, f"There may be no more than {first} items")
    elif rule is not True:
        for index in range(first, len(value)):
            yield from check.misfits(rule, value[index], (place, index))


def _contains(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    if not isinstance(value, list):
        return ()
    least, most = rules.get("minContains", 1), rules.get("maxContains", len(value))
    count = 0
    for item in value:
        count += check.fits(rule, item)
        if count > most:
            return invalid(place, f"More than {most} items are of the kind wanted")
    if count >= least:
        return ()
    return invalid(place, f"{count} items are of the kind wanted; {least} are needed")


def _unique_items(
    check: Check, rule: bool, value: Any, rules: Rules, place: Place
) -> Iterable[Misfit]:
    if not rule or not isinstance(value, list):
        return ()
    check.spend(_KEY * len(value))
    check.weigh(value)
    if len(set(map(identity, value))) == len(value):
        return ()
    return invalid(place, "The list has the same item more than once")


KEYWORDS: Mapping[str, Keyword] = {
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "required": _required,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "prefixItems": _prefix_items,
    "items": _items,
    "contains": _contains,
    "uniqueItems": _unique_items,
}
