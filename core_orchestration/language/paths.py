"""
Paths such as `context.research.items.0.title`, and how they are followed.

Following a path reads mappings and sequences and nothing else: no attribute of
any object is ever looked up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from roles.problems import kind_of, listing, nearest, quoted

MAX_TEXT = 1_000_000
_WORD = re.compile(r"[^\W\d]\w*")

Segment = str | int


@dataclass(frozen=True, slots=True)
class Reference:
    """A fixed path into the scope; `optional` when `| default(...)` guards it."""

    root: str
    path: tuple[Segment, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        return self.root + "".join(map(_written, self.path))


def _written(segment: Segment) -> str:
    if isinstance(segment, int):
        return f".{segment}" if segment >= 0 else f"[{segment}]"
    if _WORD.fullmatch(segment) and segment.isidentifier():
        return f".{segment}"
    return f"[{json.dumps(segment, ensure_ascii=False)}]"


class TemplateRenderError(Exception):
    """
    A template or a condition cannot be worked out from the data at hand.

    `path` is the path that does not resolve (null for other causes), `nearest` the
    nearest existing name at the place where it stopped, and `pointer` the place of
    the text inside the template.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        nearest: str | None = None,
        pointer: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.nearest = nearest
        self.pointer = pointer


class Unresolved(Exception):
    """A path ends before its last segment; explaining it waits until it is shown."""

    def __init__(self, parent: str, segment: Segment, container: Any) -> None:
        super().__init__(parent, segment)
        self.parent = parent
        self.segment = segment
        self.container = container

    def explained(self) -> TemplateRenderError:
        path = (self.parent and self.parent + _written(self.segment)) or str(
            self.segment
        )
        found, reason = _explain(self.parent, self.segment, self.container)
        return TemplateRenderError(
            f"{path} does not resolve: {reason}.", path=path, nearest=found
        )


def _explain(parent: str, segment: Segment, container: Any) -> tuple[str | None, str]:
    if not isinstance(container, Mapping):
        return _explain_list(parent, container)
    found = nearest(str(segment), container)
    owner = f"{parent} has" if parent else "there is"
    hint = "" if found is None else f"; did you mean {quoted(found)}?"
    names = listing(container) or "nothing"
    return found, f"{owner} no {quoted(segment)}{hint} (available: {names})"


def _explain_list(parent: str, container: Any) -> tuple[str | None, str]:
    if not isinstance(container, list | tuple):
        return None, f"{parent} is {kind_of(container)}, which has nothing inside it"
    if not container:
        return None, f"{parent} is an empty list"
    last = str(len(container) - 1)
    return last, f"{parent} is a list whose items are 0 to {last}"


class Frame:
    """One rendering: the names in scope, and how much text may still be made."""

    __slots__ = ("names", "text_left")

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self.text_left = MAX_TEXT

    def spend(self, text: str) -> str:
        self.reserve(len(text))
        return text

    def reserve(self, length: int) -> None:
        self.text_left -= length
        if self.text_left < 0:
            raise TemplateRenderError(
                f"The template makes more than {MAX_TEXT:,} characters of text; "
                "pass large values as they are, as a single placeholder."
            )


Evaluate = Callable[[Frame], Any]


def step_into(container: Any, segment: Segment, parent: str) -> Any:
    """Follow one segment, or raise Unresolved."""
    try:
        if isinstance(container, dict | Mapping):
            return container[segment if isinstance(segment, str) else str(segment)]
        if isinstance(container, list | tuple) and isinstance(segment, int):
            return container[segment]
    except LookupError:
        pass
    raise Unresolved(parent, segment, container)


def reader(reference: Reference) -> Evaluate:
    """Compile a path into a function of a frame."""
    root, path = reference.root, reference.path
    if all(isinstance(segment, str) for segment in path):
        return _field_reader(reference)

    def read(frame: Frame) -> Any:
        value: Any = frame.names
        try:
            value = value[root]
            for segment in path:
                value = step_into(value, segment, "")
        except (LookupError, Unresolved):
            _stop(reference, frame)
        return value

    return read


def _field_reader(reference: Reference) -> Evaluate:
    keys = (reference.root, *reference.path)

    def read(frame: Frame) -> Any:
        value: Any = frame.names
        for key in keys:
            if not isinstance(value, dict | Mapping):
                _stop(reference, frame)
            try:
                value = value[key]
            except LookupError:
                _stop(reference, frame)
        return value

    return read


def _stop(reference: Reference, frame: Frame) -> NoReturn:
    """Walk a path that failed once more, to say where it ended."""
    value: Any = step_into(frame.names, reference.root, "")
    for place, segment in enumerate(reference.path):
        parent = str(Reference(reference.root, reference.path[:place]))
        value = step_into(value, segment, parent)
    raise Unresolved("", reference.root, frame.names)
