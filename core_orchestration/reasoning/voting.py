"""`vote`: the same question several times at once; what most answers say, wins."""

from __future__ import annotations

from core_orchestration.definition import Step

from .making import Maker


def expand(step: Step) -> Step:
    make = Maker(step)
    by_role = step.config.get("tie_break") == "role"
    decided = _decided(make) if by_role else ()
    return make.block(make.task(), _samples(make), _tally(make), *decided)


def _samples(make: Maker) -> Step:
    count = make.step.config["samples"]
    numbers = {"items": list(range(1, count + 1)), "max_parallel": count}
    asked = {"task": make.read("task"), "number": "{{ item }}"}
    call = make.call("sample", make.step.config["voter"], asked)
    return make.holding("samples", "map", numbers, call)


def _tally(make: Maker) -> Step:
    config = make.step.config
    counted = {
        "samples": "{{ output }}",
        "field": config.get("field"),
        "quorum": config.get("quorum", majority(config["samples"])),
        "tie_break": config.get("tie_break", "fail"),
    }
    return make.reckon("tally", "tally", counted)


def majority(count: int) -> int:
    return count // 2 + 1


def _decided(make: Maker) -> tuple[Step, ...]:
    """Have a role decide where no vote won."""
    config = make.step.config
    shown = {
        "task": make.read("task"),
        "votes": "{{ output.votes }}",
        "samples": "{{ output.samples }}",
    }
    open_still = {"field": "output.decided", "operator": "==", "value": False}
    elected = {
        "tally": make.read("tally"),
        "choice": make.read("tie_break"),
        "field": config.get("field"),
    }
    return (
        make.call("tie_break", config["tie_breaker"], shown, condition=open_still),
        make.reckon("winner", "elect", elected),
    )
