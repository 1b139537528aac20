"""The filters that templates may use: small, total and bounded in time and size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roles.problems import kind_of

from .paths import MAX_TEXT, TemplateRenderError, Unresolved
from .values import as_text, compact_json, identity, is_list, is_number

MAX_DIGITS = 300
_UNSET = object()


def _need(fits: bool, name: str, wanted: str, value: Any) -> None:
    if not fits:
        raise TemplateRenderError(
            f"The filter {name} needs {wanted}, not {kind_of(value)}."
        )


def _text(name: str, value: Any) -> str:
    _need(isinstance(value, str), name, "text", value)
    return str(value)


def _items(name: str, value: Any) -> list[Any]:
    _need(is_list(value), name, "a list", value)
    return list(value)


def _bounded(length: int) -> None:
    if length > MAX_TEXT:
        raise TemplateRenderError(
            f"A filter would make more than {MAX_TEXT:,} characters of text."
        )


def upper(value: Any) -> str:
    return _text("upper", value).upper()


def lower(value: Any) -> str:
    return _text("lower", value).lower()


def trim(value: Any) -> str:
    return _text("trim", value).strip()


def length(value: Any) -> int:
    fits = is_list(value) or isinstance(value, str | Mapping)
    _need(fits, "length", "text, a list or an object", value)
    return len(value)


def join(value: Any, separator: Any = "") -> str:
    texts = [as_text(item) for item in _items("join", value)]
    between = _text("join", separator)
    _bounded(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def first(value: Any) -> Any:
    items = _items("first", value)
    if not items:
        raise Unresolved("the list before the filter first", 0, items)
    return items[0]


def last(value: Any) -> Any:
    items = _items("last", value)
    if not items:
        raise Unresolved("the list before the filter last", -1, items)
    return items[-1]


def tojson(value: Any, indent: Any = None) -> str:
    """Write JSON as it is; nothing is escaped for HTML."""
    if indent is not None:
        fits = is_number(indent) and 0 <= indent <= 8
        _need(fits, "tojson", "an indent of 0 to 8", indent)
        return compact_json(value, int(indent))
    return compact_json(value)


def to_int(value: Any, default: Any = _UNSET) -> Any:
    return _converted("int", int, value, default)


def to_float(value: Any, default: Any = _UNSET) -> Any:
    return _converted("float", float, value, default)


def _converted(
    name: str, convert: Callable[[Any], Any], value: Any, default: Any
) -> Any:
    try:
        _need(isinstance(value, str | int | float), name, "text or a number", value)
        return convert(value)
    except (ValueError, OverflowError, TemplateRenderError) as error:
        if default is not _UNSET:
            return default
        raise TemplateRenderError(
            f"The filter {name} cannot read {kind_of(value)} as a number; "
            f"write {name}(0) to have a value for that case."
        ) from error


def string(value: Any) -> str:
    return as_text(value)


def replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = (_text("replace", each) for each in (value, old, new))
    _bounded(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def truncate(value: Any, length: Any = 255, end: Any = "...") -> str:
    """Cut a text so that it has at most `length` characters, `end` included."""
    text, tail = _text("truncate", value), _text("truncate", end)
    _need(is_number(length), "truncate", "a number of characters", length)
    if len(text) <= length:
        return text
    return text[: max(0, int(length) - len(tail))] + tail


def round_(value: Any, digits: Any = 0) -> Any:
    _need(is_number(value), "round", "a number", value)
    fits = is_number(digits) and abs(digits) <= MAX_DIGITS
    _need(fits, "round", "a small number of digits", digits)
    return round(value, int(digits)) if digits else round(value)


def sort(value: Any, reverse: Any = False) -> list[Any]:
    items = _items("sort", value)
    fits = all(map(is_number, items)) or all(isinstance(i, str) for i in items)
    _need(fits, "sort", "a list of only numbers or only texts", value)
    return sorted(items, reverse=bool(reverse))


def unique(value: Any) -> list[Any]:
    """Keep the first of each value; 1 and true are different values."""
    kept: dict[Any, Any] = {}
    for item in _items("unique", value):
        kept.setdefault(identity(item), item)
    return list(kept.values())


FILTERS: Mapping[str, Callable[..., Any]] = {
    "upper": upper,
    "lower": lower,
    "trim": trim,
    "length": length,
    "join": join,
    "first": first,
    "last": last,
    "tojson": tojson,
    "int": to_int,
    "float": to_float,
    "string": string,
    "replace": replace,
    "truncate": truncate,
    "round": round_,
    "sort": sort,
    "unique": unique,
}
