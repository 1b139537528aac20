"""
What was measured, and the plain statistics over it: all pure.

A figure belongs to a repetition, and a repetition to a round, a system and a case.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.works import P50_MS, P99_MS, SECONDS, STEPS_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """What a round gave for a case; `trouble` says why there are no figures."""

    round: int
    system: str
    case: str
    figures: Mapping[str, float] = field(default_factory=dict)
    trouble: str = ""


Figures = Sequence[Repetition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What the rounds gave."""

    median: float
    least: float
    most: float


def of_answers(answers: Sequence[Mapping[str, Any]], steps: int) -> dict[str, float]:
    """Sum up a round's repeats by the median of each figure."""
    found = [of_answer(answer, steps) for answer in answers]
    return {key: median([each[key] for each in found]) for key in found[0]}


def of_answer(answer: Mapping[str, Any], steps: int) -> dict[str, float]:
    """Take the figures out of a driver's answer; steps per second are made here."""
    found = {SECONDS: float(answer["seconds"])}
    found[STEPS_S] = steps / found[SECONDS]
    if "submit_seconds" in answer:
        found["submit_seconds"] = float(answer["submit_seconds"])
    for process, memory in answer.get("memory_mb", {}).items():
        found[f"memory_mb:{process}"] = float(memory)
    if latencies := answer.get("latencies_ms"):
        found |= {P50_MS: statistics.median(latencies), P99_MS: p99(latencies)}
    return found


def p99(sample: Collection[float]) -> float:
    """Return the value that 99 of 100 do not exceed: the largest of a small sample."""
    ordered = sorted(sample)
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


def values(figures: Figures, system: str, case: str, figure: str) -> dict[int, float]:
    """Return one figure by round."""
    return {
        each.round: each.figures[figure]
        for each in figures
        if (each.system, each.case) == (system, case) and figure in each.figures
    }


def ratios(left: Mapping[int, float], right: Mapping[int, float]) -> dict[int, float]:
    """Divide within each round that has both."""
    return {
        number: left[number] / right[number] for number in left if right.get(number)
    }


def median(sample: Collection[float]) -> float:
    return statistics.median(sample)


def spread(sample: Collection[float]) -> Spread | None:
    """Sum up the rounds; None without any."""
    if not sample:
        return None
    return Spread(median=median(sample), least=min(sample), most=max(sample))


def troubles(figures: Figures) -> dict[tuple[str, str], str]:
    """Say why a system has no figures in a case, from its last round."""
    return {(each.system, each.case): each.trouble for each in figures if each.trouble}
