"""
Whether a value fits a JSON Schema, decided within bounds.

Nothing is fetched, and a check that takes too many steps ends with a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from roles.problems import Problem, child

from . import containers, keywords, unevaluated
from .check import Check, Keyword, Misfit, Place, TooManySteps

MAX_PROBLEMS = 50
MAX_MESSAGE = 300
_CHARACTERS_PER_STEP = 16

KEYWORDS: Mapping[str, Keyword] = {
    **keywords.KEYWORDS,
    **containers.KEYWORDS,
    **unevaluated.KEYWORDS,
}
UNUSABLE = frozenset({"endless_schema", "invalid_schema"})
_FAULTS = (  # what a schema that was never checked can provoke
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


def value_problems(
    schema: Mapping[str, Any] | None, value: Any, pointer: str = ""
) -> list[Problem]:
    """
    List at most 50 ways in which a JSON value does not fit a schema.

    Null fits all. A schema that `schema_problems` finds fault with may end in one
    problem whose code is in UNUSABLE; never does it raise.
    """
    if schema is None:
        return []
    check = Check(schema, KEYWORDS)
    try:
        misfits = islice(check.misfits(schema, value, None), MAX_PROBLEMS)
        return [_problem(check, misfit, pointer) for misfit in misfits]
    except TooManySteps:
        detail = "Checking this against its schema takes too long; send less at once."
        return [Problem(pointer, "too_large", detail)]
    except RecursionError:
        detail = "The schema refers to itself without end, or the value is too deep."
        return [Problem(pointer, "endless_schema", detail)]
    except _FAULTS as error:
        detail = f"The schema cannot be used: {_reason(error)}."
        return [Problem(pointer, "invalid_schema", detail)]


def _problem(check: Check, misfit: Misfit, pointer: str) -> Problem:
    segments = list(_segments(misfit.place))
    check.spend(sum(len(str(each)) for each in segments) // _CHARACTERS_PER_STEP)
    place = child(pointer, *reversed(segments))
    detail = _shortened(misfit.detail)
    return Problem(place, misfit.code, detail if detail[-1] in ".?" else f"{detail}.")


def _segments(place: Place) -> Iterator[str | int]:
    while place is not None:
        place, segment = place
        yield segment


def _reason(error: Exception) -> str:
    said = error.args[0] if isinstance(error, LookupError) and error.args else error
    return _shortened(str(said)).rstrip(".")


def _shortened(message: str) -> str:
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[: MAX_MESSAGE // 2]} ... {message[-MAX_MESSAGE // 2 :]}"
