"""
What may stand between `{{` and `}}`, compiled to closures over plain data.

An allow-list: a node of Jinja's syntax tree that is not listed here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from jinja2 import nodes

from roles.problems import kind_of

from .filtering import applied
from .operators import ARITHMETIC, COMPARISONS, MAX_BITS, calculate
from .paths import (
    Evaluate,
    Frame,
    Reference,
    Segment,
    TemplateRenderError,
    reader,
    step_into,
)
from .syntax import (
    MAX_DEPTH,
    TOO_DEEP,
    ExpressionError,
    fixed_segment,
    parsed,
    plain_path,
    refusal,
    static_path,
)
from .values import as_text

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A compiled expression; `path` is set when it is nothing but a fixed path."""

    evaluate: Evaluate
    references: frozenset[Reference]
    path: Reference | None = None


def compile_expression(source: str) -> Expression:
    """Compile the text of one placeholder, or raise ExpressionError."""
    if (path := plain_path(source)) is not None:
        return Expression(
            evaluate=reader(path), references=frozenset((path,)), path=path
        )
    tree = parsed(source)
    compiler = _Compiler()
    evaluate = compiler.compile(tree, 0)
    return Expression(
        evaluate=evaluate,
        references=frozenset(compiler.references),
        path=static_path(tree),
    )


def written(parts: Sequence[Evaluate]) -> Evaluate:
    """Join the parts as text, within what the frame allows."""

    def write(frame: Frame) -> str:
        return "".join([frame.spend(_text(part(frame))) for part in parts])

    return write


def _text(value: Any) -> str:
    try:
        return as_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateRenderError(
            f"This value cannot be written as text: {error}."
        ) from error


class _Compiler:
    """Turns one expression's tree into a closure and collects its references."""

    def __init__(self) -> None:
        self.references: set[Reference] = set()
        self._optional = False

    def compile(self, node: nodes.Node, depth: int) -> Evaluate:
        if depth > MAX_DEPTH:
            raise ExpressionError(TOO_DEEP)
        build = _BUILDERS.get(type(node))
        if build is None:
            raise ExpressionError(refusal(node))
        return build(self, node, depth + 1)

    def constant(self, node: nodes.Const, depth: int) -> Evaluate:
        value = node.value
        if isinstance(value, str) and UNSTORABLE.search(value):
            raise ExpressionError("Text cannot hold NUL or half a surrogate pair.")
        if isinstance(value, float) and not isfinite(value):
            raise ExpressionError("A number in the expression is out of range.")
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ExpressionError("A number in the expression is too long.")
        return lambda frame: value

    def path(self, node: nodes.Node, depth: int) -> Evaluate:
        found = static_path(node)
        if found is None:
            return self._element(node, depth)
        if len(found.path) > MAX_DEPTH:
            raise ExpressionError(TOO_DEEP)
        self.references.add(Reference(found.root, found.path, self._optional))
        return reader(found)

    def _element(self, node: Any, depth: int) -> Evaluate:
        base = self.compile(node.node, depth)
        parent = str(static_path(node.node) or "the value")
        fixed = fixed_segment(node)
        if fixed is not None:
            return lambda frame: step_into(base(frame), fixed, parent)
        place = self.compile(node.arg, depth)
        return lambda frame: step_into(base(frame), _segment(place(frame)), parent)

    def filter(self, node: nodes.Filter, depth: int) -> Evaluate:
        if node.node is None or node.dyn_args or node.dyn_kwargs:
            raise ExpressionError("Arguments cannot be unpacked with * or **.")
        arguments = [self.compile(each, depth) for each in node.args]
        named = {str(each.key): self.compile(each.value, depth) for each in node.kwargs}
        outer = self._optional
        self._optional = outer or node.name == "default"
        value = self.compile(node.node, depth)
        self._optional = outer
        return applied(node.name, value, arguments, named)

    def arithmetic(self, node: Any, depth: int) -> Evaluate:
        sign = ARITHMETIC[type(node)]
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        return lambda frame: calculate(sign, frame, left(frame), right(frame))

    def signed(self, node: nodes.Neg | nodes.Pos, depth: int) -> Evaluate:
        sign = "-" if isinstance(node, nodes.Neg) else "+"
        value = self.compile(node.node, depth)
        return lambda frame: calculate(sign, frame, 0, value(frame))

    def both(self, node: nodes.And, depth: int) -> Evaluate:
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        return lambda frame: left(frame) and right(frame)

    def either(self, node: nodes.Or, depth: int) -> Evaluate:
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        return lambda frame: left(frame) or right(frame)

    def negation(self, node: nodes.Not, depth: int) -> Evaluate:
        value = self.compile(node.node, depth)
        return lambda frame: not value(frame)

    def choice(self, node: nodes.CondExpr, depth: int) -> Evaluate:
        if node.expr2 is None:
            raise ExpressionError("An inline if needs its else part.")
        test = self.compile(node.test, depth)
        yes, no = self.compile(node.expr1, depth), self.compile(node.expr2, depth)
        return lambda frame: yes(frame) if test(frame) else no(frame)

    def concatenation(self, node: nodes.Concat, depth: int) -> Evaluate:
        return written([self.compile(each, depth) for each in node.nodes])

    def comparison(self, node: nodes.Compare, depth: int) -> Evaluate:
        first = self.compile(node.expr, depth)
        rest = [
            (COMPARISONS[each.op], self.compile(each.expr, depth)) for each in node.ops
        ]

        def compare(frame: Frame) -> bool:
            left = first(frame)
            for holds, operand in rest:
                right = operand(frame)
                if not holds(left, right):
                    return False
                left = right
            return True

        return compare

    def sequence(self, node: nodes.List | nodes.Tuple, depth: int) -> Evaluate:
        items = [self.compile(each, depth) for each in node.items]
        return lambda frame: [item(frame) for item in items]

    def mapping(self, node: nodes.Dict, depth: int) -> Evaluate:
        pairs = [
            (self.compile(each.key, depth), self.compile(each.value, depth))
            for each in node.items
        ]
        return lambda frame: {_name(key(frame)): value(frame) for key, value in pairs}


def _segment(value: Any) -> Segment:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return value
    raise TemplateRenderError(
        f"What stands in brackets must be text or a whole number, not {kind_of(value)}."
    )


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TemplateRenderError(
        f"The names of an object must be text, not {kind_of(value)}."
    )


_BUILDERS: Mapping[type[nodes.Node], Callable[[_Compiler, Any, int], Evaluate]] = {
    nodes.Const: _Compiler.constant,
    nodes.Name: _Compiler.path,
    nodes.Getattr: _Compiler.path,
    nodes.Getitem: _Compiler.path,
    nodes.Filter: _Compiler.filter,
    nodes.Neg: _Compiler.signed,
    nodes.Pos: _Compiler.signed,
    nodes.And: _Compiler.both,
    nodes.Or: _Compiler.either,
    nodes.Not: _Compiler.negation,
    nodes.CondExpr: _Compiler.choice,
    nodes.Concat: _Compiler.concatenation,
    nodes.Compare: _Compiler.comparison,
    nodes.List: _Compiler.sequence,
    nodes.Tuple: _Compiler.sequence,
    nodes.Dict: _Compiler.mapping,
    **dict.fromkeys(ARITHMETIC, _Compiler.arithmetic),
}
