"""
Templates: JSON whose texts may hold placeholders, rendered from a scope.

A text that is exactly one placeholder yields the value itself; inside other text
values are written as text. Parsing is cached per text, rendering makes new lists
and objects each time, so no caller can change a template by changing its result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from roles.problems import Problem, child

from .expressions import Expression, compile_expression, written
from .paths import Evaluate, Frame, Reference, TemplateRenderError, Unresolved
from .syntax import ExpressionError

MAX_TEMPLATE = 20_000
MAX_NESTING = 50
MAX_BRACKETS = 20

_TOKEN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[][(){}'"]""", re.DOTALL)


class TemplateSyntaxError(ValueError):
    """
    A template cannot be read; `problems` lists every fault in it.

    `pointer` leads to the first faulty text and `position` is the index of the
    character in that text.
    """

    def __init__(self, problems: tuple[TemplateProblem, ...]) -> None:
        first = problems[0]
        super().__init__(first.detail)
        self.problems = problems
        self.pointer, self.position = first.pointer, first.position
        self.code, self.detail = first.code, first.detail


@dataclass(frozen=True, slots=True)
class TemplateProblem(Problem):
    """A problem in a template's text, with the index of the character."""

    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """A parsed template; make one with `Template.parse`."""

    references: frozenset[Reference]
    is_constant: bool
    evaluate: Evaluate

    @classmethod
    def parse(cls, value: Any) -> Template:
        """Parse any JSON value, or raise TemplateSyntaxError with all its faults."""
        reading = _Reading()
        evaluate = reading.compile(value, "", 0)
        if reading.problems:
            raise TemplateSyntaxError(tuple(reading.problems))
        return cls(
            references=frozenset(each for _, each in reading.references),
            is_constant=reading.is_constant,
            evaluate=evaluate,
        )

    def render(self, scope: Mapping[str, Any]) -> Any:
        """
        Render to a JSON value, or raise TemplateRenderError.

        Values of the scope go into the result as they are, not copied.
        """
        try:
            return self.evaluate(Frame(scope))
        except Unresolved as unresolved:
            raise unresolved.explained() from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that validation wants to know of a value, faulty or not."""

    problems: tuple[Problem, ...]
    references: tuple[tuple[str, Reference], ...]  # each with its pointer


def read_template(value: Any) -> Reading:
    """List a template's faults and references, with pointers below the value."""
    reading = _Reading()
    reading.compile(value, "", 0)
    return Reading(
        problems=tuple(reading.problems), references=tuple(reading.references)
    )


class _Reading:
    """One walk over a JSON value that compiles its texts and collects faults."""

    def __init__(self) -> None:
        self.references: list[tuple[str, Reference]] = []
        self.problems: list[TemplateProblem] = []
        self.is_constant = True

    def compile(self, value: Any, pointer: str, depth: int) -> Evaluate:
        if isinstance(value, str):
            return self._text(value, pointer)
        if not isinstance(value, list | tuple | Mapping):
            return _constant(value)
        if depth >= MAX_NESTING:
            detail = f"Templates may be nested {MAX_NESTING} levels deep at most."
            self.problems.append(TemplateProblem(pointer, "too_deep", detail))
            return _constant(None)
        if isinstance(value, Mapping):
            return self._mapping(value, pointer, depth + 1)
        return _sequence(
            [
                self.compile(item, child(pointer, place), depth + 1)
                for place, item in enumerate(value)
            ]
        )

    def _text(self, text: str, pointer: str) -> Evaluate:
        if "{{" not in text and "{%" not in text:
            return _constant(text)
        self.is_constant = False
        try:
            compiled = compile_text(text)
        except _TextError as error:
            self.problems.append(
                TemplateProblem(
                    pointer, "template_syntax", error.detail, error.position
                )
            )
            return _constant(None)
        self.references += [(pointer, each) for each in compiled.references]
        return compiled.evaluate

    def _mapping(self, value: Mapping[str, Any], pointer: str, depth: int) -> Evaluate:
        fields = []
        for name, item in value.items():
            below = child(pointer, name)
            if "{{" in str(name) or "{%" in str(name):
                detail = "A name is fixed text; placeholders go into the value."
                self.problems.append(TemplateProblem(below, "template_in_name", detail))
            fields.append((name, self.compile(item, below, depth)))
        return _mapping(fields)


def _constant(value: Any) -> Evaluate:
    return lambda frame: value


def _mapping(fields: list[tuple[str, Evaluate]]) -> Evaluate:
    def render(frame: Frame) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, evaluate in fields:
            try:
                result[name] = evaluate(frame)
            except (Unresolved, TemplateRenderError) as error:
                raise _located(error, name) from None
        return result

    return render


def _sequence(items: list[Evaluate]) -> Evaluate:
    def render(frame: Frame) -> list[Any]:
        result: list[Any] = []
        for place, evaluate in enumerate(items):
            try:
                result.append(evaluate(frame))
            except (Unresolved, TemplateRenderError) as error:
                raise _located(error, place) from None
        return result

    return render


def _located(
    error: Unresolved | TemplateRenderError, segment: str | int
) -> TemplateRenderError:
    located = error.explained() if isinstance(error, Unresolved) else error
    located.pointer = child("", segment) + located.pointer
    return located


class _TextError(Exception):
    """One text cannot be read."""

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.position = position


@lru_cache(maxsize=4_096)
def compile_text(text: str) -> Expression:
    """Compile one text with placeholders, or raise _TextError."""
    if len(text) > MAX_TEMPLATE:
        detail = f"A template may have {MAX_TEMPLATE:,} characters, not {len(text):,}."
        raise _TextError(detail, MAX_TEMPLATE)
    parts, references = [], set[Reference]()
    for part in _split(text):
        if isinstance(part, str):
            parts.append(_constant(part))
            continue
        expression = _placeholder(text, *part)
        if part == (2, len(text) - 2):
            return expression
        parts.append(expression.evaluate)
        references |= expression.references
    return Expression(evaluate=written(parts), references=frozenset(references))


def _placeholder(text: str, start: int, end: int) -> Expression:
    source = text[start:end]
    if source[:1] in ("-", "+") or source[-1:] in ("-", "+"):
        raise _TextError(
            "Whitespace control with {{- or -}} is not available; put a space "
            "before a sign.",
            start,
        )
    try:
        return compile_expression(source)
    except ExpressionError as error:
        raise _TextError(str(error), start) from error


def _split(text: str) -> list[str | tuple[int, int]]:
    """Cut a text into literal texts and the spans between `{{` and `}}`."""
    parts: list[str | tuple[int, int]] = []
    at = 0
    while (start := text.find("{{", at)) >= 0:
        _refuse_statements(text, at, start)
        end = _end_of_placeholder(text, start)
        parts += [text[at:start]] * (start > at)
        parts.append((start + 2, end))
        at = end + 2
    _refuse_statements(text, at, len(text))
    return parts + [text[at:]] * (at < len(text))


def _refuse_statements(text: str, start: int, end: int) -> None:
    place = text.find("{%", start, end)
    if place >= 0:
        raise _TextError(
            "Statements in {% %} are not available; templates only hold "
            "{{ placeholders }}. For the characters themselves write {{ '{%' }}.",
            place,
        )


def _end_of_placeholder(text: str, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(text, start + 2):
        sign = token[0]
        if sign in "'\"":
            raise _TextError("A text in the placeholder is not closed.", token.start())
        if sign == "}" and not depth and text.startswith("}}", token.start()):
            return token.start()
        depth += (sign in "([{") - (sign in ")]}")
        if depth > MAX_BRACKETS:
            detail = f"Brackets may be nested {MAX_BRACKETS} levels deep at most."
            raise _TextError(detail, token.start())
        if depth < 0:
            raise _TextError(f"Unexpected {sign!r} in the placeholder.", token.start())
    raise _TextError(
        "The placeholder is not closed with }}. For the characters themselves "
        "write {{ '{{' }}.",
        start,
    )
