"""`math.*`: arithmetic on two numbers, and rounding."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from roles.builtins.arguments import argument, subject
from roles.functions import FunctionFailed, function

MAX_DIGITS = 15

Number = int | float


@function("math.add")
def add(given: Any) -> Number:
    """Return `a` + `b`."""
    return _calculate(operator.add, given)


@function("math.subtract")
def subtract(given: Any) -> Number:
    """Return `a` - `b`."""
    return _calculate(operator.sub, given)


@function("math.multiply")
def multiply(given: Any) -> Number:
    """Return `a` times `b`."""
    return _calculate(operator.mul, given)


@function("math.divide")
def divide(given: Any) -> Number:
    """Return `a` divided by `b`, as a number with decimals."""
    return _calculate(operator.truediv, given)


@function("math.round")
def nearest(given: Any) -> Number:
    """Return `value` rounded to `digits` decimals (0: an integer), halves to even."""
    value: Number = subject(given, "value", float)
    digits = argument(given, "digits", int, default=0)
    if digits > MAX_DIGITS:
        return value
    return round(value, digits) if digits > 0 else round(value)


def _calculate(operation: Callable[[Number, Number], Number], given: Any) -> Number:
    a, b = argument(given, "a", float), argument(given, "b", float)
    try:
        value = operation(a, b)
    except ZeroDivisionError:
        raise FunctionFailed("`b` is zero.", type="division_by_zero") from None
    except OverflowError:
        value = math.inf
    if isinstance(value, float) and not math.isfinite(value):
        raise FunctionFailed("The result is too large.", type="overflow")
    return value
