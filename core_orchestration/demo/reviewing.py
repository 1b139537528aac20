"""Review a result against the points that it has to cover."""

from __future__ import annotations

from typing import Any

from core_orchestration.demo.library import terms
from roles.functions import function


@function("demo.review_coverage")
def review_coverage(given: dict[str, Any]) -> dict[str, Any]:
    """Tell which of the `required` points the words of a `result` cover."""
    words = set(terms(given["result"]))
    covered = [point for point in given["required"] if words.issuperset(terms(point))]
    missing = [point for point in given["required"] if point not in covered]
    return {"approved": not missing, "covered": covered, "missing": missing}
