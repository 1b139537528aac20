"""
The works, each of which every system does in its own terms.

A case is one work at one size, and what a driver is asked for. Steps do nothing or
wait: all that is measured is what a system adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEPS_S, P50_MS, P99_MS, SECONDS = "steps_s", "p50_ms", "p99_ms", "seconds"
MAIN = {"W1": STEPS_S, "W2": STEPS_S, "W3": SECONDS, "W4": P50_MS, "W5": STEPS_S}
TITLES = {
    "W1": "Chains: many executions of ten steps one after another",
    "W2": "Fans: one execution of steps side by side, and one that joins them",
    "W3": "Waiting: many executions at once, whose step waits for two seconds",
    "W4": "Latency: one execution of one step at a time, on an idle system",
    "W5": "Long chains: one execution of many steps one after another",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`quick` replaces sizes where only the machinery is tried."""

    key: str
    title: str
    request: Mapping[str, Any]
    quick: Mapping[str, Any]

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


def _chain(
    key: str, executions: int, length: int, *, quick: tuple[int, int], title: str
) -> Case:
    small = {"executions": quick[0], "length": quick[1]}
    request = {"work": "chain", "executions": executions, "length": length}
    return Case(key=key, title=title, request=request, quick=small)


def _long(length: int, quick: int) -> Case:
    title = f"1 × {length:,} steps"
    return _chain(f"W5/{length}", 1, length, quick=(1, quick), title=title)


def _fan(width: int, quick: int, shape: str = "") -> Case:
    request = {"work": "fan", "width": width} | ({"shape": shape} if shape else {})
    return Case(
        key=f"W2/{width}" + (f"/{shape}" if shape else ""),
        title=f"{width:,} wide" + (f", as {shape}" if shape else ""),
        request=request,
        quick={"width": quick},
    )


def _wait(executions: int, quick: int) -> Case:
    return Case(
        key=f"W3/{executions}",
        title=f"{executions:,} × 2 s",
        request={"work": "wait", "executions": executions, "seconds": 2},
        quick={"executions": quick},
    )


def _latency(through: str, title: str) -> Case:
    return Case(
        key=f"W4/{through}",
        title=title,
        request={"work": "latency", "count": 50, "through": through},
        quick={"count": 10},
    )


CASES = (
    _chain("W1", 200, 10, quick=(20, 10), title="200 × 10 steps"),
    _fan(100, 20),
    _fan(100, 20, "children"),
    _fan(1000, 100),
    _wait(200, 50),
    _wait(1000, 100),
    _latency("launch", "started by a function call"),
    _latency("post", "started over HTTP"),
    _long(50, 20),
    _long(500, 100),
    _long(1000, 150),
    _long(5000, 200),
    _long(10000, 300),
)
BY_KEY = {case.key: case for case in CASES}


def of(works: tuple[str, ...]) -> tuple[Case, ...]:
    """Select the cases of these works; of all, if none is named."""
    return tuple(case for case in CASES if not works or case.work in works)
