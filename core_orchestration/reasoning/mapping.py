"""`map_reduce`: a call for every item, then one that sees all that they came to."""

from __future__ import annotations

from typing import Any

from core_orchestration.definition import Step

from .making import Maker

_OF_MAP = ("max_parallel", "item_errors")


def expand(step: Step) -> Step:
    make, config = Maker(step), step.config
    if step.input_mapping is None:
        return _block(make, (), config["items"], None, {"results": "{{ output }}"})
    # Both are looked at here, where `output` still is what came before the pattern.
    given = {"task": step.input_mapping, "items": config["items"]}
    task = make.read("given", ".task")
    return _block(
        make,
        (make.reckon("given", "value", given),),
        make.read("given", ".items"),
        {"task": task, "item": "{{ item }}"},
        {"task": task, "results": "{{ output }}"},
    )


def _block(
    make: Maker, before: tuple[Step, ...], items: Any, one: Any, results: Any
) -> Step:
    config = make.step.config
    limits = {name: config[name] for name in _OF_MAP if name in config}
    mapped = make.holding(
        "items",
        "map",
        {"items": items, **limits},
        make.call("map", config["mapper"], one),
    )
    return make.block(*before, mapped, make.call("reduce", config["reducer"], results))
