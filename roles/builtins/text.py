"""`text.*` and `hash.*`: small work on strings."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from roles.builtins.arguments import BadArguments, argument, subject
from roles.builtins.comparing import compiled
from roles.functions import FunctionFailed, function

MAX_LENGTH = 10_000_000  # characters of a text that a function makes
MAX_MATCHES = 10_000

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}")


@function("text.upper")
def upper(given: Any) -> str:
    """Return `text` in capital letters."""
    return _text(given).upper()


@function("text.lower")
def lower(given: Any) -> str:
    """Return `text` in small letters."""
    return _text(given).lower()


@function("text.template")
def template(given: Any) -> str:
    """
    Fill the {name} places of `template` from `values`; {{ and }} stand for braces.

    A name is looked up as it is: nothing can be called or reached into.
    """
    values = argument(given, "values", dict, default=given)
    filled: str = _PLACEHOLDER.sub(
        lambda place: _filled(place, values), argument(given, "template", str)
    )
    return _bounded(filled)


@function("text.split")
def split(given: Any) -> list[str]:
    """Split `text` at each `separator`, or at white space when none is given."""
    separator = argument(given, "separator", str, default=None)
    if separator == "":
        raise BadArguments("`separator` must not be empty.")
    return _text(given).split(separator)


@function("text.join")
def join(given: Any) -> str:
    """Join `items` to one text with `separator` (nothing) between them."""
    separator: str = argument(given, "separator", str, default="")
    texts = [_written(item) for item in subject(given, "items", list)]
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_LENGTH:
        raise _too_long()
    return separator.join(texts)


@function("text.replace")
def replace(given: Any) -> str:
    """Replace each `find` in `text` by `replace` (nothing)."""
    text, find = _text(given), argument(given, "find", str)
    by = argument(given, "replace", str, default="")
    if not find:
        raise BadArguments("`find` must not be empty.")
    if len(text) + text.count(find) * len(by) > MAX_LENGTH:
        raise _too_long()
    return text.replace(find, by)


@function("text.regex_find")
def regex_find(given: Any) -> list[dict[str, Any]]:
    """
    List the matches of `pattern` in `text`, each {match, groups, names}.

    The syntax is RE2's, which runs in linear time and has no look-around. At most
    `limit` (and never more than 10000) matches are returned.
    """
    limit = argument(given, "limit", int, default=MAX_MATCHES)
    found: list[dict[str, Any]] = []
    for match in compiled(argument(given, "pattern", str)).finditer(_text(given)):
        if len(found) >= min(limit, MAX_MATCHES):
            break
        found.append(
            {
                "match": match.group(0),
                "groups": list(match.groups()),
                "names": match.groupdict(),
            }
        )
    return found


@function("hash.sha256")
def sha256(given: Any) -> str:
    """Return the SHA-256 of `text` in hexadecimal; other values by their sorted JSON."""
    bare = not isinstance(given, dict) or not given.keys() & {"text", "value"}
    value = given if bare else subject(given, "text")
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True, separators=(",", ":"))
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(given: Any) -> str:
    return str(subject(given, "text", str))


def _filled(place: re.Match[str], values: Mapping[str, Any]) -> str:
    name = place.group(1)
    if name is None:
        return place.group(0)[0]
    if name not in values:
        known = ", ".join(sorted(values)) or "nothing"
        raise BadArguments(f"The template needs {name!r}; `values` has {known}.")
    return _written(values[name])


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bounded(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise _too_long()
    return text


def _too_long() -> FunctionFailed:
    return FunctionFailed(
        f"The text would be longer than {MAX_LENGTH} characters.", type="too_long"
    )
