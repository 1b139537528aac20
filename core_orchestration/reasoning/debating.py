"""`debate`: one role makes, another one criticises, until the score is high enough."""

from __future__ import annotations

from core_orchestration.definition import Step

from .making import Maker

SCORE = "score"


def expand(step: Step) -> Step:
    make, config = Maker(step), step.config
    steps = [make.task(), _rounds(make)]
    result = {
        "result": make.read("rounds", "[-1].result"),
        "score": make.read("rounds", "[-1].score"),
        "rounds": make.read("rounds", " | length"),
    }
    if "judge" in config:
        shown = {"task": make.read("task"), "rounds": "{{ output }}"}
        steps.append(make.call("judge", config["judge"], shown))
        result["verdict"] = make.read("judge")
    return make.block(*steps, make.reckon("result", "value", result))


def _rounds(make: Maker) -> Step:
    config = make.step.config
    enough = {"field": "output.score", "operator": ">=", "value": config["threshold"]}
    until_enough = {
        "max_iterations": config["max_rounds"],
        "until": enough,
        "on_limit": "continue",
        "collect": "all",
    }
    return make.holding("rounds", "loop", until_enough, *_round(make))


def _round(make: Maker) -> tuple[Step, ...]:
    config, task = make.step.config, make.read("task")
    before = {
        "task": task,
        "result": "{{ loop.last.result | default(none) }}",
        "criticism": "{{ loop.last.criticism | default(none) }}",
    }
    came_to = {
        "result": make.read("create"),
        "criticism": "{{ output }}",
        "field": config.get("score", SCORE),
    }
    return (
        make.call("create", config["creator"], before),
        make.call(
            "criticise", config["critic"], {"task": task, "result": "{{ output }}"}
        ),
        make.reckon("round", "round", came_to),
    )
