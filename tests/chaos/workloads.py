"""
Orchestrations of every shape, drawn from the seed, and the order they are asked for.

Steps name what they do (`effect`, `hold`, ...); `Roles` says which role that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos.plan import stream

Step = dict[str, Any]

FUNCTIONS = {
    "same": "util.identity",
    "upper": "text.upper",
    "effect": "fault.effect",
    "aeffect": "fault.aeffect",
    "hold": "fault.hold",
    "ahold": "fault.ahold",
    "later": "fault.succeed_later",
    "fail": "test.fail",
}
HTTP = "http"
# What an outsider sees at least once when it is completed.
EFFECTS = ("effect", "aeffect", "hold", "ahold", "later", HTTP)
_PER_SHAPE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    shape: str
    steps: tuple[Step, ...]

    def with_roles(self, roles: Mapping[str, str]) -> list[Step]:
        """Write the steps as a client does, with the roles' names."""
        return [
            {key: value for key, value in step.items() if key != "does"}
            | {"role_name": roles[step["does"]]}
            for step in self.steps
        ]


def catalog(seed: int) -> list[Workload]:
    """Draw some orchestrations of each shape."""
    random = stream(seed, "orchestrations")
    return [
        Workload(shape=shape, steps=_named(draw(random)))
        for _ in range(_PER_SHAPE)
        for shape, draw in SHAPES.items()
    ]


def requests(seed: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield which of `count` orchestrations is executed next, and its input."""
    random = stream(seed, "requests")
    while True:
        yield (
            random.randrange(count),
            {"text": f"text {random.randrange(1000)}", "score": random.random()},
        )


def _named(steps: list[Step]) -> tuple[Step, ...]:
    return tuple({"name": f"s{n}", **step} for n, step in enumerate(steps))


def _quick(random: Random) -> Step:
    return {"does": random.choice(("same", "same", "effect", "aeffect"))}


def _holding(random: Random) -> Step:
    does = random.choice(("hold", "ahold", "ahold"))
    longest = random.choice((0.2, 1.0, 3.0))
    seconds = round(random.uniform(0, longest), 2)
    return {"does": does, "input_mapping": {"seconds": seconds}}


def _any(random: Random) -> Step:
    return random.choice((_quick, _quick, _holding))(random)


def _call() -> Step:
    return {"does": HTTP, "input_mapping": {"n": "{{ context.input.score }}"}}


def _group(random: Random, name: str, draw: Callable[[Random], Step]) -> list[Step]:
    return [
        draw(random) | {"parallel_group": name} for _ in range(random.randint(2, 7))
    ]


def _chain(random: Random) -> list[Step]:
    return [_any(random) for _ in range(random.randint(1, 8))]


def _long_chain(random: Random) -> list[Step]:
    """Longer than a window of the canvas, some of it longer than two."""
    links = [{"does": "same"} for _ in range(random.randint(26, 60))]
    links[random.randrange(len(links))] = {"does": "effect"}
    return [*links, _holding(random)]


def _one_group(random: Random) -> list[Step]:
    return [_any(random), *_group(random, "g", _any), _quick(random)]


def _groups(random: Random) -> list[Step]:
    """Groups directly after groups, and as the first and the last of all."""
    middle = [_quick(random)] if random.random() < 0.5 else []
    first, second = _group(random, "a", _quick), _group(random, "b", _any)
    return [*first, *second, *middle, *_group(random, "c", _any)]


def _conditions(random: Random) -> list[Step]:
    condition = {"field": "context.input.score", "operator": ">", "value": 0.5}
    chosen = {"condition": condition, "step_type": "conditional"}
    members = [
        member | (chosen if random.random() < 0.5 else {})
        for member in _group(random, "g", _quick)
    ]
    return [
        {"does": "same"},
        _quick(random) | chosen,
        *members,
        _quick(random) | chosen,
    ]


def _delayed(random: Random) -> Step:
    return {
        "max_retries": random.randint(1, 3),
        "retry_delay_ms": random.choice((10, 200, 1000, 2000)),
    }


def _retries(random: Random) -> list[Step]:
    return [
        _quick(random),
        {"does": "later"} | _delayed(random),
        *([{"does": "later", "parallel_group": "g"} | _delayed(random)] * 2),
        _quick(random),
    ]


def _goes_on(random: Random) -> list[Step]:
    failing = {"does": "fail", "on_error": "continue"}
    member = failing | {"parallel_group": "g"}
    return [failing, _any(random), *_group(random, "g", _any), member, _quick(random)]


def _fails(random: Random) -> list[Step]:
    alone: list[Step] = [_quick(random), {"does": "fail"} | _delayed(random)]
    member = {"does": "fail", "parallel_group": "g"}
    in_group = [*_group(random, "g", _holding), member]
    return [*(alone if random.random() < 0.5 else in_group), _quick(random)]


def _http(random: Random) -> list[Step]:
    calls = _group(random, "g", lambda _: _call())
    return [_call(), *calls, _call() | {"max_retries": 2, "retry_delay_ms": 100}]


def _at_most_once(random: Random) -> list[Step]:
    once = {"at_most_once": True}
    return [
        _quick(random),
        _holding(random) | once,
        *_group(random, "g", lambda r: _holding(r) | once),
        _quick(random),
    ]


def _waits(random: Random) -> list[Step]:
    """Seconds of work at a time, so that faults strike into it."""
    hold = {"input_mapping": {"seconds": 3}}
    members = [{"does": "ahold", "parallel_group": "g"} | hold] * 3
    return [{"does": "hold"} | hold, *members, {"does": "ahold"} | hold]


SHAPES: Mapping[str, Callable[[Random], list[Step]]] = {
    "chain": _chain,
    "long_chain": _long_chain,
    "group": _one_group,
    "groups": _groups,
    "conditions": _conditions,
    "retries": _retries,
    "goes_on": _goes_on,
    "fails": _fails,
    "http": _http,
    "at_most_once": _at_most_once,
    "waits": _waits,
}
