"""The keywords for what no other keyword of a schema has looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roles.problems import quoted

from .check import Check, Keyword, Misfit, Place, Rules

Looked = Callable[[Check, Rules, Any], set[Any]]


def _unevaluated_properties(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    if not isinstance(value, dict):
        return
    known = _names(check, rules, value)
    for name in value:
        if name in known:
            continue
        if rule is False:
            detail = f"{quoted(name)} is not a field of this object"
            yield Misfit((place, name), "unknown_field", detail)
        else:
            yield from check.misfits(rule, value[name], (place, name))


def _unevaluated_items(
    check: Check, rule: Any, value: Any, rules: Rules, place: Place
) -> Iterator[Misfit]:
    if isinstance(value, list):
        known = _indexes(check, rules, value)
        for index in range(len(value)):
            if index not in known:
                yield from check.misfits(rule, value[index], (place, index))


def _names(check: Check, rules: Rules, value: Any) -> set[Any]:
    """Gather the names that a schema, one that the value fits, has looked at."""
    properties = rules.get("properties", ())
    check.spend(len(value) + len(properties))
    if "additionalProperties" in rules:
        return set(value)
    found = {name for name in properties if name in value}
    for pattern in rules.get("patternProperties", ()):
        found.update(filter(check.matcher(pattern), value))
    return found | _inside(check, rules, value, _names, "unevaluatedProperties")


def _indexes(check: Check, rules: Rules, value: Any) -> set[Any]:
    first = len(rules.get("prefixItems", ()))
    check.spend(len(value) + first)
    if "items" in rules:
        return set(range(len(value)))
    found = set(range(first))
    if "contains" in rules:
        rule = rules["contains"]
        found.update(i for i, item in enumerate(value) if check.fits(rule, item))
    return found | _inside(check, rules, value, _indexes, "unevaluatedItems")


def _inside(
    check: Check, rules: Rules, value: Any, looked: Looked, keyword: str
) -> set[Any]:
    everything = value if isinstance(value, dict) else range(len(value))
    found: set[Any] = set()
    for branch in _branches(check, rules, value):
        check.spend(1)
        if isinstance(branch, Mapping) and keyword in branch:
            check.spend(len(value))
            found.update(everything)
        elif isinstance(branch, Mapping):
            found |= looked(check, branch, value)
    return found


def _branches(check: Check, rules: Rules, value: Any) -> Iterator[Any]:
    """Yield the schemas inside a schema that hold for the same value."""
    check.spend(len(rules))
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in rules:
            yield check.target(rules[keyword])
    yield from rules.get("allOf", ())
    for branch in (*rules.get("anyOf", ()), *rules.get("oneOf", ())):
        if check.fits(branch, value):
            yield branch
    yield from _chosen(check, rules, value)
    for name, branch in rules.get("dependentSchemas", {}).items():
        if isinstance(value, dict) and name in value:
            yield branch


def _chosen(check: Check, rules: Rules, value: Any) -> Iterator[Any]:
    if "if" not in rules:
        return
    if check.fits(rules["if"], value):
        yield rules["if"]
        yield rules.get("then")
    else:
        yield rules.get("else")


KEYWORDS: Mapping[str, Keyword] = {
    "unevaluatedProperties": _unevaluated_properties,
    "unevaluatedItems": _unevaluated_items,
}
