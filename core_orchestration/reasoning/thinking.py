"""`tree_of_thoughts`: in every round the best thoughts are thought on."""

from __future__ import annotations

from core_orchestration.definition import Step

from .making import Maker


def expand(step: Step) -> Step:
    make, depth = Maker(step), step.config["depth"]
    rounds = make.holding(
        "rounds", "loop", {"max_iterations": depth, "count": depth}, *_round(make)
    )
    best = make.reckon("best", "value", "{{ output | first }}")
    return make.block(make.task(), rounds, best)


def _round(make: Maker) -> tuple[Step, ...]:
    """Say what is to be thought of, think and score it, and keep the best."""
    config = make.step.config
    sprouts = {"beam": "{{ loop.last }}", "breadth": config["breadth"]}
    kept = {
        "thoughts": "{{ output }}",
        "beam": config["beam"],
        "threshold": config.get("threshold"),
    }
    thoughts = make.holding(
        "thoughts", "map", {"items": "{{ output }}"}, *_thought(make)
    )
    return (
        make.reckon("sprouts", "sprouts", sprouts),
        thoughts,
        make.reckon("select", "select", kept),
    )


def _thought(make: Maker) -> tuple[Step, ...]:
    config, task = make.step.config, make.read("task")
    asked = {"task": task, "path": "{{ item.path }}", "number": "{{ item.number }}"}
    shown = {"task": task, "path": "{{ item.path }}", "thought": "{{ output }}"}
    whole = {
        "path": "{{ item.path }}",
        "thought": make.read("generate"),
        "scored": "{{ output }}",
    }
    return (
        make.call("generate", config["generator"], asked),
        make.call("score", config["scorer"], shown),
        make.reckon("thought", "thought", whole),
    )
