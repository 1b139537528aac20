"""
What size does to this system: a long past, many clients, processes or agents, and rest.

Each part reports figures, a text, and how it stands to its bars; one that fails says
so in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.scale import agents, api, growth, idle, maps, workers
from benchmarks.scale.findings import Finding, Past, last_line
from benchmarks.scale.installation import Installation
from benchmarks.servers import Servers
from config.dev.terminal import complain, say

EXECUTIONS, QUICK_EXECUTIONS, FEW = 1_000_000, 10_000, 1_000
NAMES = ("few", "many", "empty", "workers")
Part = Callable[[], Finding]


def run(
    servers: Servers, works: Collection[str], *, quick: bool
) -> Iterator[dict[str, Any]]:
    """Measure these; `quick` only tries the machinery, with a small past."""
    few, many, empty, other = (
        Installation(servers=servers, name=f"scale_{name}", number=number)
        for number, name in enumerate(NAMES, start=1)
    )
    past = Past(few=FEW, many=QUICK_EXECUTIONS if quick else EXECUTIONS)
    alone: dict[str, Part] = {
        "W6": lambda: maps.run(other, quick=quick),
        "W10": lambda: agents.crowd(other, quick=quick),
        "Workers": lambda: workers.scale(other, quick=quick),
    }
    later: dict[str, Part] = {
        "W9": lambda: growth.compare(empty, many, past, quick=quick),
        "W7": lambda: api.compare(few, many, past, quick=quick),
        "W8": lambda: idle.watch(many, past, quick=quick),
    }
    yield from _all(alone, works)
    if not {*works}.isdisjoint(later):
        try:
            with _created(few, many, empty):
                few.seed(past.few)
                say(f"  the past took {many.seed(past.many):.0f} s")
                yield from _all(later, works)
        except Exception as error:  # noqa: BLE001  (what was found stays found)
            yield _failed("W7 to W9", error).as_json()


def _all(parts: Mapping[str, Part], works: Collection[str]) -> Iterator[dict[str, Any]]:
    for work, part in parts.items():
        if work.upper() in works:
            yield _done(work, part).as_json()


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
