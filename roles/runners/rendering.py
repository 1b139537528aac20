"""
Fill `{{ input.order.id }}` places in a role's configuration or prompt.

Paths only: a role says where its input goes, and logic belongs to the orchestration.
A string that is one place and nothing else becomes the value itself, with its type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

from roles.runners.base import RunnerError
from roles.runners.paths import PathMissing, walk
from roles.runners.results import pointer
from roles.runners.secret_text import SecretText

MAX_LENGTH = 5_000_000  # characters of one rendered string

ROOTS = ("input",)

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"\s*([^\s.|{}()\[\]]+)((?:\.[^\s.|{}()\[\]]+)*)\s*")
_MEANT = re.compile(r"\s*(input|context|output)\b")

Roots = Mapping[str, Any]


def render(value: Any, roots: Roots) -> Any:
    """
    Return `value` with every place in its strings filled; keys stay as they are.

    Raises RunnerError, type `template_error`, which names the path and what is near.
    """
    if isinstance(value, SecretText):
        return value
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole and "{{" not in whole.group(1):
            return _look_up(whole.group(1), roots)
        return _fill(value, lambda place: as_text(_look_up(place.group(1), roots)))
    if isinstance(value, Mapping):
        return {key: render(item, roots) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, roots) for item in value]
    return value


def render_url(template: str, roots: Roots) -> str:
    """
    Fill a URL: what stands inside it is escaped, so it cannot change the path.

    Only a place at the very beginning is taken as it is, for a whole address.
    """
    if isinstance(template, SecretText):
        return template

    def part(place: re.Match[str]) -> str:
        value = _look_up(place.group(1), roots)
        if not isinstance(value, str | int | float) or value in {".", ".."}:
            shown = json.dumps(value)[:60]
            raise _error(f"`{place.group(1).strip()}` is {shown}, unfit for a URL.")
        return as_text(value) if place.start() == 0 else quote(as_text(value), safe="")

    return _fill(template, part)


def render_prompt(template: str, roots: Roots) -> str:
    """Fill a prompt, where other double braces are plain text."""

    def part(place: re.Match[str]) -> str:
        if not _MEANT.match(place.group(1)):
            return place.group(0)
        return as_text(_look_up(place.group(1), roots))

    return _fill(template, part)


def as_text(value: Any) -> str:
    """Write a value into text: texts as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def template_problems(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """List the places that can never be filled, each with its JSON pointer."""
    if isinstance(value, str) and not isinstance(value, SecretText):
        for match in _PLACE.finditer(value):
            if sentence := _fault(match.group(1)):
                yield place, sentence
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from template_problems(item, pointer(place, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from template_problems(item, f"{place}/{index}")


def prompt_problems(template: str, place: str) -> Iterator[tuple[str, str]]:
    """List the places of a prompt that are meant to be filled and cannot be."""
    for match in _PLACE.finditer(template):
        sentence = _fault(match.group(1))
        if sentence and _MEANT.match(match.group(1)):
            yield place, sentence


def _fill(template: str, part: Callable[[re.Match[str]], str]) -> str:
    text = _PLACE.sub(part, template)
    if len(text) > MAX_LENGTH:
        raise _error(f"A rendered text is longer than {MAX_LENGTH} characters.")
    return text


def _look_up(path: str, roots: Roots) -> Any:
    fault = _fault(path, tuple(roots))
    if fault:
        raise _error(fault)
    root, *parts = path.strip().split(".")
    try:
        return walk(roots[root], parts, root=root)
    except PathMissing as problem:
        raise _error(f"`{path.strip()}` leads nowhere: {problem}.") from None


def _fault(path: str, roots: tuple[str, ...] = ROOTS) -> str | None:
    match = _PATH.fullmatch(path)
    known = " or ".join(f"`{root}`" for root in roots)
    if match is None:
        return (
            f"`{path.strip()}` is not a path; a role takes paths such as "
            "`input.name`, without filters or brackets."
        )
    if match.group(1) not in roots:
        near = get_close_matches(match.group(1), roots, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"`{path.strip()}` must begin with {known}.{hint}"
    return None


def _error(message: str) -> RunnerError:
    return RunnerError(message, type="template_error", retryable=False)
