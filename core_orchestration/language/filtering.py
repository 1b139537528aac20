"""How a filter is found, checked against its arguments, and applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any

from roles.problems import did_you_mean, quoted

from .filters import FILTERS
from .paths import Evaluate, Frame, TemplateRenderError, Unresolved
from .syntax import ExpressionError

NAMES = ("default", *sorted(FILTERS))


def applied(
    name: str,
    value: Evaluate,
    arguments: Sequence[Evaluate],
    named: Mapping[str, Evaluate],
) -> Evaluate:
    """Compile `value | name(arguments)`, or raise ExpressionError."""
    if name == "default":
        _check_arguments(name, _default, arguments, named)
        return _guarded(value, *_default(value, *arguments, **named))
    function = FILTERS.get(name)
    if function is None:
        hint = did_you_mean(name, NAMES)
        raise ExpressionError(
            f"There is no filter {quoted(name)}.{hint} "
            f"The filters are: {', '.join(NAMES)}."
        )
    _check_arguments(name, function, arguments, named)
    return _filtered(name, function, value, arguments, named)


_signature = cache(signature)


def _check_arguments(
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[Evaluate],
    named: Mapping[str, Evaluate],
) -> None:
    try:
        _signature(function).bind(None, *arguments, **named)
    except TypeError as error:
        raise ExpressionError(
            f"The filter {name} does not take these arguments: {error}."
        ) from error


def _empty(frame: Frame) -> str:
    return ""


def _no(frame: Frame) -> bool:
    return False


def _default(
    value: Evaluate | None, default_value: Evaluate = _empty, boolean: Evaluate = _no
) -> tuple[Evaluate, Evaluate]:
    return default_value, boolean


def _guarded(value: Evaluate, fallback: Evaluate, for_falsy: Evaluate) -> Evaluate:
    def guarded(frame: Frame) -> Any:
        try:
            found = value(frame)
        except Unresolved:
            return fallback(frame)
        return fallback(frame) if not found and for_falsy(frame) else found

    return guarded


def _filtered(
    name: str,
    function: Callable[..., Any],
    value: Evaluate,
    arguments: Sequence[Evaluate],
    named: Mapping[str, Evaluate],
) -> Evaluate:
    def filtered(frame: Frame) -> Any:
        given = [argument(frame) for argument in arguments]
        options = {key: argument(frame) for key, argument in named.items()}
        subject = value(frame)
        try:
            result = function(subject, *given, **options)
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise TemplateRenderError(
                f"The filter {name} cannot work on this value: {error}."
            ) from error
        return frame.spend(result) if isinstance(result, str) else result

    return filtered
