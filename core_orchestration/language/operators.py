"""The arithmetic and the comparisons of templates, typed and bounded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from jinja2 import nodes

from roles.problems import kind_of

from .paths import Frame, TemplateRenderError
from .values import comparable, contains, is_number, same

MAX_BITS = 1_024
_OUT_OF_RANGE = "The result of the calculation is out of range."

ARITHMETIC: Mapping[type[nodes.Node], str] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def calculate(sign: str, frame: Frame, left: Any, right: Any) -> Any:
    """Work out `left sign right`; `+` also joins two texts."""
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        return frame.spend(left + right)
    if not (is_number(left) and is_number(right)):
        raise TemplateRenderError(
            f"{sign} works on two numbers, not on {kind_of(left)} and "
            f"{kind_of(right)}; ~ joins any values as text."
        )
    try:
        return _bounded(_SIGNS[sign](left, right))
    except ZeroDivisionError:
        raise TemplateRenderError(f"{sign} cannot divide by zero.") from None
    except OverflowError as error:
        raise TemplateRenderError(_OUT_OF_RANGE) from error


def _bounded(value: Any) -> Any:
    if isinstance(value, int):
        fits = value.bit_length() <= MAX_BITS
    else:
        fits = isinstance(value, float) and isfinite(value)
    if not fits:
        raise TemplateRenderError(_OUT_OF_RANGE)
    return value


def _ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        if not comparable(left, right):
            raise TemplateRenderError(
                f"There is no order between {kind_of(left)} and {kind_of(right)}; "
                "compare two numbers or two texts."
            )
        return bool(compare(left, right))

    return ordered


def _differs(left: Any, right: Any) -> bool:
    return not same(left, right)


def _within(left: Any, right: Any) -> bool:
    return contains(right, left)


def _not_within(left: Any, right: Any) -> bool:
    return not contains(right, left)


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": same,
    "ne": _differs,
    "gt": _ordered(operator.gt),
    "gteq": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lteq": _ordered(operator.le),
    "in": _within,
    "notin": _not_within,
}
