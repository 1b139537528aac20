"""Reach a number from another one by a few operations: a tree that is easy to check."""

from __future__ import annotations

from typing import Any

from roles.functions import function

_OPERATIONS = ("+ 5", "* 3", "- 4")


@function("demo.next_number")
def next_number(given: dict[str, Any]) -> dict[str, Any]:
    """Work on from the last number of the `path`, by the operation of that `number`."""
    path = given["path"]
    value = path[-1]["value"] if path else given["task"]["start"]
    operation = _OPERATIONS[(given["number"] - 1) % len(_OPERATIONS)]
    return {"operation": operation, "value": _calculated(value, operation)}


@function("demo.score_number")
def score_number(given: dict[str, Any]) -> dict[str, Any]:
    """Score a number by how near it is to the `target`: 0 is there."""
    return {"score": -abs(given["task"]["target"] - given["thought"]["value"])}


def _calculated(value: int, operation: str) -> int:
    sign, _, operand = operation.partition(" ")
    by = int(operand)
    return {"+": value + by, "*": value * by, "-": value - by}[sign]
