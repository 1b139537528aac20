"""
The text of a placeholder, parsed: Jinja's grammar, and which parts are refused.

Jinja's parser is all that is used of Jinja; no template of its is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from jinja2 import Environment, TemplateError, nodes
from jinja2.parser import Parser

from roles.problems import quoted

from .paths import Reference, Segment

MAX_DEPTH = 50
TOO_DEEP = f"The expression is nested deeper than {MAX_DEPTH} levels."

_ENVIRONMENT = Environment(autoescape=False)  # noqa: S701  (only its parser is used)
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_PLAIN_PATH = re.compile(rf"\s*({_NAME})((?:\.(?:{_NAME}|0|[1-9][0-9]{{0,8}}))*)\s*")
_NOT_A_ROOT = frozenset(
    [
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "not",
        "and",
        "or",
        "if",
        "else",
        "in",
        "is",
    ]
)
_REFUSALS: Mapping[type[nodes.Node], str] = {
    nodes.Call: "Nothing can be called: templates only read data and apply filters.",
    nodes.Test: "Tests with `is` are not available; use `| default(...)` or ==.",
    nodes.Slice: "Slices are not available; name one item, or use first or last.",
    nodes.Pow: "Powers are not available.",
}


class ExpressionError(Exception):
    """The expression is not part of the template language; the message says why."""


def plain_path(source: str) -> Reference | None:
    """Read the commonest expression, a dotted path, without Jinja's help."""
    match = _PLAIN_PATH.fullmatch(source)
    if match is None or match[1] in _NOT_A_ROOT or match[2].count(".") > MAX_DEPTH:
        return None
    segments = match[2].split(".")[1:]
    path = tuple(int(each) if each.isdigit() else each for each in segments)
    return Reference(match[1], path)


def parsed(source: str) -> nodes.Expr:
    """Parse one expression, or raise ExpressionError."""
    if not source.strip():
        raise ExpressionError("The placeholder is empty.")
    try:
        parser = Parser(_ENVIRONMENT, source, state="variable")
        tree = parser.parse_expression()
    except TemplateError as error:
        raise ExpressionError(_sentence(str(error.message))) from error
    except RecursionError as error:
        raise ExpressionError(TOO_DEEP) from error
    except ValueError as error:
        raise ExpressionError("A number in the expression is too long.") from error
    if not parser.stream.eos:
        raise ExpressionError(f"Unexpected {quoted(parser.stream.current)}.")
    return tree


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def static_path(node: nodes.Node) -> Reference | None:
    """Read a chain of fixed segments that starts at a name; null for anything else."""
    path: list[Segment] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        fixed = fixed_segment(node)
        if fixed is None:
            return None
        path.append(fixed)
        node = node.node
    if not isinstance(node, nodes.Name):
        return None
    return Reference(node.name, tuple(reversed(path)))


def fixed_segment(node: nodes.Getattr | nodes.Getitem) -> Segment | None:
    """Return what a subscript names, unless it has to be worked out first."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    value, sign = node.arg, 1
    if isinstance(value, nodes.Neg):
        value, sign = value.node, -1
    if not isinstance(value, nodes.Const) or isinstance(value.value, bool):
        return None
    if isinstance(value.value, int):
        return sign * value.value
    return value.value if isinstance(value.value, str) and sign == 1 else None


def refusal(node: nodes.Node) -> str:
    """Say why a node of Jinja's is not part of this language."""
    return _REFUSALS.get(
        type(node), f"{type(node).__name__} is not part of the template language."
    )
