"""
Make up a value that fits a JSON Schema, from a text and nothing else.

Choices follow the text's words where they can: a complaint about a double charge is
sorted under `billing` when there is such a choice.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

MAX_DEPTH = 6
LIST_LENGTH = 2
TEXT_LENGTH = 160

Schema = Mapping[str, Any]

_WORD = re.compile(r"[a-z]+")
_HIGH = ("score", "confidence", "rating", "quality", "probability", "grade")
_NEGATIVE = ("reject", "spam", "error", "fail", "escalat", "urgent", "needs_", "block")
_EMPTY_WORDS = {"a", "and", "for", "in", "is", "no", "not", "of", "or", "other", "the"}
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "uri": "https://example.com/demo",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_TOPICS = {
    "billing": "charge charged refund invoice payment paid pay card price money twice",
    "payment": "charge charged refund invoice payment paid pay card",
    "refund": "refund money back return charged twice",
    "technical": "error crash crashes bug broken fails slow login install update screen",
    "bug": "error crash crashes bug broken fails wrong",
    "account": "account login password email profile username sign locked",
    "shipping": "delivery deliver package parcel shipped shipping tracking arrived late",
    "delivery": "delivery deliver package parcel shipped shipping tracking arrived late",
    "sales": "buy purchase quote offer demo upgrade plan trial pricing",
    "feature": "feature wish add support suggestion idea could",
    "cancellation": "cancel unsubscribe terminate close end",
    "positive": "great love thanks thank excellent happy good perfect",
    "negative": "angry terrible bad awful worst disappointed unacceptable broken",
    "high": "urgent immediately asap now critical down outage twice",
    "urgent": "urgent immediately asap now critical down outage",
    "low": "whenever question wondering minor curious",
    "question": "how what why when where which",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a value is made: the whole schema for references, the name, the depth."""

    root: Schema
    text: str
    name: str = ""
    depth: int = 0

    def inside(self, name: str) -> _Place:
        return replace(self, name=name, depth=self.depth + 1)

    def number(self) -> int:
        """Return a number that depends on the text and the place alone."""
        digest = hashlib.sha256(f"{self.name}\n{self.text}".encode("utf-8", "replace"))
        return int.from_bytes(digest.digest()[:4], "big")


def fill(schema: Schema, text: str) -> Any:
    """
    Return a value for the schema; the same arguments give the same value.

    Patterns, and rules between fields, are not understood.
    """
    return _value(schema, _Place(root=schema, text=text))


def _value(schema: Any, place: _Place) -> Any:
    if not isinstance(schema, Mapping):
        return f"[demo] {place.name}".strip()
    schema = _resolved(schema, place)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return choose(schema["enum"], place)
    if schema.get("examples"):
        return schema["examples"][0]
    return _MAKERS[_type(schema)](schema, place)


def choose(options: Sequence[Any], place: _Place) -> Any:
    """Return the option that the text speaks of, or one picked by its digest."""
    words = set(_WORD.findall(place.text.lower()))
    scores = [_affinity(option, words) for option in options]
    best = max(scores)
    if best > 0:
        return options[scores.index(best)]
    return options[place.number() % len(options)]


def _affinity(option: Any, words: set[str]) -> int:
    score = 0
    for part in _WORD.findall(str(option).lower()):
        if part in _EMPTY_WORDS:
            continue
        score += 3 * (part in words)
        score += len(words & set(_TOPICS.get(part, "").split()))
    return score


def _resolved(schema: Schema, place: _Place) -> Schema:
    """Follow references and take the first of several alternatives."""
    merged = dict(schema)
    for _ in range(MAX_DEPTH):
        if "$ref" in merged:
            merged = {**_referred(place.root, merged.pop("$ref")), **merged}
        elif parts := merged.pop("allOf", None):
            for part in parts:
                merged = _joined(merged, part)
        elif options := merged.pop("anyOf", None) or merged.pop("oneOf", None):
            merged = _joined(merged, _first(options))
        else:
            break
    return merged


def _referred(root: Schema, reference: str) -> Schema:
    found: Any = root
    for part in reference.lstrip("#/").split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _joined(one: Schema, other: Schema) -> dict[str, Any]:
    joined = {**one, **other}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = [*one["required"], *other["required"]]
    return joined


def _first(options: Sequence[Any]) -> Any:
    chosen = [option for option in options if option != {"type": "null"}]
    return (chosen or options)[0]


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind in _MAKERS:
        return str(kind)
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _object(schema: Schema, place: _Place) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    names = [*properties, *(name for name in required if name not in properties)]
    if place.depth >= MAX_DEPTH:  # a schema may refer to itself
        names = required if place.depth < 2 * MAX_DEPTH else []
    extra = schema.get("additionalProperties", {})
    return {
        name: _value(properties.get(name, extra), place.inside(name)) for name in names
    }


def _array(schema: Schema, place: _Place) -> list[Any]:
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", math.inf)
    wanted = 0 if place.depth >= MAX_DEPTH else LIST_LENGTH
    first = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    length = min(max(least, wanted, len(first)), most)
    if rest is False:
        length = min(length, len(first))
    items = [
        _value(
            first[index] if index < len(first) else rest,
            place.inside(f"{place.name} {index + 1}".strip()),
        )
        for index in range(int(length))
    ]
    if not schema.get("uniqueItems"):
        return items
    return [item for index, item in enumerate(items) if item not in items[:index]]


def _string(schema: Schema, place: _Place) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    about = " ".join(place.text.split())[:TEXT_LENGTH]
    label = place.name.replace("_", " ")
    text = f"[demo] {label}: {about}" if label else f"[demo] {about}"
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if len(text) > most:
        text = text[: int(most)].rstrip()
    return text.ljust(int(least), ".")


def _number(schema: Schema, place: _Place) -> float:
    least, most = _bounds(schema)
    if any(word in place.name.lower() for word in _HIGH):
        share = 0.9
    else:
        share = 0.2 + 0.6 * (place.number() % 1000) / 1000
    low = 0.0 if least == -math.inf else least
    if least == -math.inf and most < math.inf:
        low = min(0.0, most - 1)
    high = most if most < math.inf else low + 1
    value = round(low + share * (high - low), 4)
    step = schema.get("multipleOf")
    return value if not step else math.floor(value / step) * step


def _integer(schema: Schema, place: _Place) -> int:
    least, most = _bounds(schema)
    if most == math.inf:
        most = 10 + (0 if least == -math.inf else least)
    value = math.floor(_number({"minimum": least, "maximum": most}, place))
    step = int(schema.get("multipleOf") or 1)
    value -= value % step
    return value if value >= least else value + step * math.ceil((least - value) / step)


def _bounds(schema: Schema) -> tuple[float, float]:
    """Return the bounds; exclusive ones are moved by one, or by a little."""
    nudge = 1 if _type(schema) == "integer" else 1e-3
    least = schema.get("minimum", -math.inf)
    most = schema.get("maximum", math.inf)
    if "exclusiveMinimum" in schema:
        least = max(least, schema["exclusiveMinimum"] + nudge)
    if "exclusiveMaximum" in schema:
        most = min(most, schema["exclusiveMaximum"] - nudge)
    return least, most


def _boolean(schema: Schema, place: _Place) -> bool:
    return not any(word in place.name.lower() for word in _NEGATIVE)


_MAKERS: dict[str, Any] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "null": lambda schema, place: None,
}
