"""
What size does to this system: a long past, many clients, many processes, and rest.

Each part reports figures, a text, and how it stands to its bars; one that fails says
so in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.scale import api, growth, idle, workers
from benchmarks.scale.findings import Finding, Past, last_line
from benchmarks.scale.installation import Installation
from benchmarks.servers import Servers
from config.dev.terminal import complain, say

EXECUTIONS, QUICK_EXECUTIONS, FEW = 1_000_000, 10_000, 1_000
NAMES = ("few", "many", "empty", "workers")
Part = Callable[[], Finding]


def run(servers: Servers, *, quick: bool) -> Iterator[dict[str, Any]]:
    """Measure everything; `quick` only tries the machinery, with a small past."""
    few, many, empty, other = (
        Installation(servers=servers, name=f"scale_{name}", number=number)
        for number, name in enumerate(NAMES, start=1)
    )
    past = Past(few=FEW, many=QUICK_EXECUTIONS if quick else EXECUTIONS)
    yield _done("Workers", lambda: workers.scale(other, quick=quick)).as_json()
    try:
        with _created(few, many, empty):
            few.seed(past.few)
            say(f"  the past took {many.seed(past.many):.0f} s")
            parts: dict[str, Part] = {
                "W9": lambda: growth.compare(empty, many, past, quick=quick),
                "W7": lambda: api.compare(few, many, past, quick=quick),
                "W8": lambda: idle.watch(many, past, quick=quick),
            }
            for work, part in parts.items():
                yield _done(work, part).as_json()
    except Exception as error:  # noqa: BLE001  (what was found stays found)
        yield _failed("W7 to W9", error).as_json()


@contextmanager
def _created(*installations: Installation) -> Iterator[None]:
    """Databases for the length of a `with` block."""
    try:
        for each in installations:
            each.create()
        yield
    finally:
        for each in installations:
            each.drop()


def _done(work: str, part: Part) -> Finding:
    """Do a part; what fails must not take with it what the others have found."""
    say(f"scale: {work}")
    try:
        return part()
    except Exception as error:  # noqa: BLE001
        return _failed(work, error)


def _failed(work: str, error: Exception) -> Finding:
    complain(f"bench: {work} failed: {error}")
    text = f"{type(error).__name__}: {last_line(str(error))}"
    return Finding(work=work, name="not measured", figures={}, markdown=text)
