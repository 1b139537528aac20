"""
The works, each of which every system does in its own terms.

A case is one work at one size, and what a driver is asked for. Steps do nothing or
wait: all that is measured is what a system adds to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# More would add minutes to every round, for peers that take seconds to do it.
WARM_EXECUTIONS = 50
STEPS_S, P50_MS, P99_MS, SECONDS = "steps_s", "p50_ms", "p99_ms", "seconds"
MAIN = {"W1": STEPS_S, "W2": STEPS_S, "W3": SECONDS, "W4": P50_MS, "W5": STEPS_S}
TITLES = {
    "W1": "Many executions at once, of ten steps one after another",
    "W2": "One execution of steps side by side, and one that joins them",
    "W3": "Many executions at once, whose step waits for two seconds",
    "W4": "One execution of one step at a time, on an idle system",
    "W5": "One execution of many steps one after another",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    `quick` replaces sizes where only the machinery is tried.

    `repeats` is how often a round does it: a short work's figure is their median, so
    that no single hiccup decides a round. `warm` limits the sizes of what precedes.
    `aside` marks a way of doing the work that only some peers have.
    """

    key: str
    title: str
    request: Mapping[str, Any]
    quick: Mapping[str, Any]
    warm: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1
    aside: bool = False

    @property
    def work(self) -> str:
        return self.key.partition("/")[0]

    @property
    def compared_with(self) -> str:
        """The case in which this system does the same, whatever the shape of others."""
        return "/".join(self.key.split("/")[:2])

    @property
    def figure(self) -> str:
        """The figure that systems are compared by."""
        return MAIN[self.work]

    def asked(self, *, quick: bool) -> dict[str, Any]:
        return {**self.request, **(self.quick if quick else {})}

    def warming(self, *, quick: bool) -> dict[str, Any]:
        """
        Return what a system does unmeasured before its repeats: the same, or less.

        Whoever does something for the first time opens connections, starts threads,
        prepares statements and reads definitions. An installation does so once in
        its life, so that a short work would tell of little else.
        """
        asked = self.asked(quick=quick)
        return asked | {key: min(asked[key], most) for key, most in self.warm.items()}


def steps(request: Mapping[str, Any]) -> int:
    """Count the steps that a request makes a system do."""
    match request["work"]:
        case "chain":
            return int(request["executions"] * request["length"])
        case "fan":
            return int(request["width"]) + 1
        case "wait":
            return int(request["executions"])
        case "latency":
            return int(request["count"])
        case other:
            raise ValueError(f"No driver knows the work {other!r}.")


def _many(executions: int, length: int, quick: int) -> Case:
    return Case(
        key="W1",
        title=f"{executions:,} executions × {length:,} steps",
        request={"work": "chain", "executions": executions, "length": length},
        quick={"executions": quick},
        warm={"executions": WARM_EXECUTIONS},
    )


def _long(length: int, quick: int, repeats: int = 1) -> Case:
    return Case(
        key=f"W5/{length}",
        title=f"A chain of {length:,} steps",
        request={"work": "chain", "executions": 1, "length": length},
        quick={"length": quick},
        repeats=repeats,
    )


def _fan(width: int, quick: int, repeats: int = 1) -> Case:
    return Case(
        key=f"W2/{width}",
        title=f"{width:,} steps side by side",
        request={"work": "fan", "width": width},
        quick={"width": quick},
        repeats=repeats,
    )


def _children(fan: Case) -> Case:
    """Make each step an execution of its own, in systems that have such a thing."""
    return dataclasses.replace(
        fan,
        key=f"{fan.key}/children",
        title=f"{fan.title}, each an execution of its own",
        request={**fan.request, "shape": "children"},
        aside=True,
    )


def _wait(executions: int, quick: int) -> Case:
    return Case(
        key=f"W3/{executions}",
        title=f"{executions:,} executions that wait 2 s",
        request={"work": "wait", "executions": executions, "seconds": 2},
        quick={"executions": quick},
        warm={"seconds": 0.1},
    )


def _latency(through: str, title: str) -> Case:
    return Case(
        key=f"W4/{through}",
        title=title,
        request={"work": "latency", "count": 50, "through": through},
        quick={"count": 10},
        warm={"count": 5},
    )


FAN = _fan(100, 20, repeats=5)
CASES = (
    _many(200, 10, quick=20),
    FAN,
    _fan(1000, 100),
    _children(FAN),
    _wait(200, 50),
    _wait(1000, 100),
    _latency("launch", "Started by a function call"),
    _latency("post", "Started over HTTP"),
    _long(50, 20, repeats=5),
    _long(500, 100),
    _long(5000, 200),
    _long(10000, 300),
)
BY_KEY = {case.key: case for case in CASES}


def of(works: tuple[str, ...]) -> tuple[Case, ...]:
    """Select the cases of these works; of all, if none is named."""
    return tuple(case for case in CASES if not works or case.work in works)
