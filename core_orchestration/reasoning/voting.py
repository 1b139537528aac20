"""`vote`: the same question several times at once; what most answers say, wins."""

from __future__ import annotations

from core_orchestration.definition import Step

from .making import Maker


def expand(step: Step) -> Step:
    make, config = Maker(step), step.config
    count, tie_break = config["samples"], config.get("tie_break", "fail")
    asked = {"task": make.read("task"), "number": "{{ item }}"}
    samples = make.holding(
        "samples",
        "map",
        {"items": list(range(1, count + 1)), "max_parallel": count},
        make.call("sample", config["voter"], asked),
    )
    counted = {
        "samples": "{{ output }}",
        "field": config.get("field"),
        "quorum": config.get("quorum", majority(count)),
        "tie_break": tie_break,
    }
    tally = make.reckon("tally", "tally", counted)
    decided = _decided(make) if tie_break == "role" else ()
    return make.block(make.task(), samples, tally, *decided)


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
