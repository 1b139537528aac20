"""`planner_executor_reviewer`: plan once, then carry out and review until accepted."""

from __future__ import annotations

from core_orchestration.definition import Step

from .making import Maker

MAX_REVISIONS = 3


def expand(step: Step) -> Step:
    make, config = Maker(step), step.config
    plan = make.call("plan", config["planner"], {"task": make.read("task")})
    turns = 1 + config.get("max_revisions", MAX_REVISIONS)
    revisions = make.holding(
        "revisions",
        "loop",
        {
            "max_iterations": turns,
            "until": {"field": "output.accepted", "operator": "==", "value": True},
            "on_limit": "continue",
        },
        *_turn(make),
    )
    steps = [make.task(), plan, revisions]
    if config.get("on_limit") == "fail":
        steps.append(make.reckon("result", "accepted", "{{ output }}"))
    return make.block(*steps)


def _turn(make: Maker) -> tuple[Step, ...]:
    """Carry out and review; a skipped `accepted` leaves null."""
    config, task, plan = make.step.config, make.read("task"), make.read("plan")
    before = {
        "task": task,
        "plan": plan,
        "review": "{{ loop.last.review | default(none) }}",
        "result": "{{ loop.last.result | default(none) }}",
    }
    shown = {"task": task, "plan": plan, "result": "{{ output }}"}
    came_to = {
        "result": make.read("execute"),
        "review": make.read("review"),
        "accepted": make.read("accepted", " == true"),
        "revisions": "{{ loop.index }}",
    }
    return (
        make.call("execute", config["executor"], before),
        make.call("review", config["reviewer"], shown),
        make.reckon("accepted", "value", True, condition=config["accept"]),
        make.reckon("turn", "value", came_to),
    )
