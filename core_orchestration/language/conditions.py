"""
Conditions: small trees of comparisons over the scope, without coercion.

A field that is missing makes every operator false except `!=`, `not_in`,
`not_contains` and `not_exists`. A field that is null is there: it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from roles.problems import Problem, child, did_you_mean, kind_of, quoted

from .comparing import COMPARE, OPERATORS, PRESENCE, TRUE_WHEN_MISSING, unfit
from .expressions import compile_expression
from .paths import Evaluate, Frame, Reference, Unresolved, reader
from .syntax import ExpressionError
from .templates import Reading, Template, TemplateSyntaxError

MAX_NESTING = 50
COMBINATORS = ("all", "any", "not")
_COMPARISON_FIELDS = ("field", "operator", "value")
_SHAPE = (
    'Write {"field": ..., "operator": ..., "value": ...} or one of '
    '{"all": [...]}, {"any": [...]}, {"not": {...}}.'
)

Test = Callable[[Frame], bool]


class ConditionSyntaxError(ValueError):
    """A condition cannot be read; `problems` lists every fault in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        super().__init__(first.detail)
        self.problems = problems
        self.pointer, self.code, self.detail = first.pointer, first.code, first.detail


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condition:
    """A parsed condition; make one with `Condition.parse`."""

    references: frozenset[Reference]
    _test: Test

    @classmethod
    def parse(cls, value: Any) -> Condition:
        """Parse a condition, or raise ConditionSyntaxError with all its faults."""
        reading = _Reading()
        test = reading.compile(value, "", 0)
        if reading.problems:
            raise ConditionSyntaxError(tuple(reading.problems))
        references = frozenset(reference for _, reference in reading.references)
        return cls(references=references, _test=test)

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Decide; a template in a `value` may raise TemplateRenderError."""
        try:
            return self._test(Frame(scope))
        except Unresolved as unresolved:
            raise unresolved.explained() from None


def condition_problems(value: Any) -> tuple[Problem, ...]:
    """List every fault of a condition, with pointers below the value."""
    return read_condition(value).problems


def read_condition(value: Any) -> Reading:
    """List a condition's faults and references, with pointers below the value."""
    reading = _Reading()
    reading.compile(value, "", 0)
    return Reading(
        problems=tuple(reading.problems), references=tuple(reading.references)
    )


class _Reading:
    """One walk over a condition that compiles it and collects its faults."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.references: list[tuple[str, Reference]] = []

    def complain(self, pointer: str, code: str, detail: str) -> Test:
        self.problems.append(Problem(pointer, code, detail))
        return _never

    def compile(self, value: Any, pointer: str, depth: int) -> Test:
        if depth >= MAX_NESTING:
            detail = f"Conditions may be nested {MAX_NESTING} levels deep at most."
            return self.complain(pointer, "too_deep", detail)
        if not isinstance(value, Mapping):
            detail = f"A condition is an object, not {kind_of(value)}. {_SHAPE}"
            return self.complain(pointer, "invalid_condition", detail)
        for name in COMBINATORS:
            if name in value:
                return self._combinator(name, value, pointer, depth)
        if not any(name in value for name in _COMPARISON_FIELDS):
            return self.complain(pointer, "invalid_condition", _SHAPE)
        return self._comparison(value, pointer)

    def _combinator(
        self, name: str, value: Mapping[str, Any], pointer: str, depth: int
    ) -> Test:
        below = child(pointer, name)
        self._refuse_others(value, (name,), pointer)
        if name == "not":
            inner = self.compile(value[name], below, depth + 1)
            return lambda frame: not inner(frame)
        parts = value[name]
        if not isinstance(parts, list | tuple) or not parts:
            detail = f"{quoted(name)} needs a list of at least one condition."
            return self.complain(below, "invalid_condition", detail)
        tests = [
            self.compile(part, child(below, place), depth + 1)
            for place, part in enumerate(parts)
        ]
        every = all if name == "all" else any
        return lambda frame: every(test(frame) for test in tests)

    def _refuse_others(
        self, value: Mapping[str, Any], known: tuple[str, ...], pointer: str
    ) -> None:
        for name in value:
            if name not in known:
                hint = did_you_mean(name, (*_COMPARISON_FIELDS, *COMBINATORS))
                detail = f"{quoted(name)} does not belong here.{hint} {_SHAPE}"
                self.complain(child(pointer, name), "unknown_field", detail)

    def _comparison(self, value: Mapping[str, Any], pointer: str) -> Test:
        self._refuse_others(value, _COMPARISON_FIELDS, pointer)
        name = self._operator(value, pointer)
        field = self._field(value, pointer)
        if name in PRESENCE:
            self._refuse_value(name, value, pointer)
            return _presence(field, wanted=name == "exists")
        expected = self._value(name, value, pointer)
        compare = COMPARE.get(name, COMPARE["=="])
        return _comparison(field, compare, expected, missing=name in TRUE_WHEN_MISSING)

    def _operator(self, value: Mapping[str, Any], pointer: str) -> str:
        name = value.get("operator")
        if isinstance(name, str) and name in OPERATORS:
            return name
        if "operator" not in value:
            detail = f"The comparison has no operator. {_SHAPE}"
            self.complain(pointer, "missing_operator", detail)
        else:
            hint = did_you_mean(str(name), OPERATORS)
            detail = (
                f"There is no operator {quoted(name)}.{hint} "
                f"The operators are: {', '.join(OPERATORS)}."
            )
            self.complain(child(pointer, "operator"), "unknown_operator", detail)
        return ""

    def _field(self, value: Mapping[str, Any], pointer: str) -> Evaluate:
        field = value.get("field")
        below = child(pointer, "field")
        if field is None and "field" not in value:
            self.complain(pointer, "missing_field", f"The field is missing. {_SHAPE}")
            return _never
        try:
            reference = parse_reference(field)
        except ExpressionError as error:
            return self.complain(below, "invalid_field", str(error))
        self.references.append((below, reference))
        return reader(reference)

    def _refuse_value(self, name: str, value: Mapping[str, Any], pointer: str) -> None:
        given = value.get("value")
        if given is not None and given is not True:
            detail = f"The operator {name} takes no value; leave it out."
            self.complain(child(pointer, "value"), "unexpected_value", detail)

    def _value(self, name: str, value: Mapping[str, Any], pointer: str) -> Evaluate:
        below = child(pointer, "value")
        if "value" not in value:
            detail = "The comparison has no value to compare the field with."
            self.complain(pointer, "missing_value", detail)
            return _never
        given = value["value"]
        if name == "matches":
            return self._fixed(name, given, below)
        try:
            template = Template.parse(given)
        except TemplateSyntaxError as error:
            for fault in error.problems:
                self.complain(below + fault.pointer, fault.code, fault.detail)
            return _never
        if template.is_constant:
            return self._fixed(name, given, below)
        self.references += [(below, each) for each in template.references]
        return template.evaluate

    def _fixed(self, name: str, given: Any, pointer: str) -> Evaluate:
        reason = unfit(name, given)
        if reason is not None:
            self.complain(pointer, "invalid_value", reason)
        return lambda frame: given


def parse_reference(text: Any) -> Reference:
    """Read a fixed path, bare or as one placeholder, or raise ExpressionError."""
    if not isinstance(text, str):
        raise ExpressionError(f"The field is a path as text, not {kind_of(text)}.")
    source = text.strip()
    if source.startswith("{{") and source.endswith("}}"):
        source = source[2:-2]
    path = compile_expression(source).path
    if path is None:
        raise ExpressionError(
            f"The field must be a path such as context.input.limit, not {quoted(text)}."
        )
    return path


def _never(frame: Frame) -> bool:
    return False


def _presence(field: Evaluate, *, wanted: bool) -> Test:
    def test(frame: Frame) -> bool:
        try:
            field(frame)
        except Unresolved:
            return not wanted
        return wanted

    return test


def _comparison(
    field: Evaluate,
    compare: Callable[[Any, Any], bool],
    expected: Evaluate,
    *,
    missing: bool,
) -> Test:
    def test(frame: Frame) -> bool:
        try:
            value = field(frame)
        except Unresolved:
            return missing
        return compare(value, expected(frame))

    return test
