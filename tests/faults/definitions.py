"""Definitions that nobody should send, each with the place and the code of its fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]
ROLE = "{role}"  # stands for the name of a role that exists


def work(**fields: Any) -> Document:
    return {"name": "work", "role_name": ROLE, **fields}


def loop(*steps: Document, **config: Any) -> Document:
    return {"name": "loop", "step_type": "loop", "config": config, "steps": list(steps)}


def nested(levels: int, around: Callable[[Any], Any], inmost: Any) -> Any:
    for _ in range(levels):
        inmost = around(inmost)
    return inmost


def condition(levels: int) -> Document:
    inmost = {"field": "context.input.x", "operator": "exists"}
    found: Document = nested(levels, lambda inner: {"not": inner}, inmost)
    return found


def template(levels: int) -> Any:
    return nested(levels, lambda inner: [inner], "{{ context.input.x }}")


def _ring() -> list[Document]:
    return [
        work(key="a", input_mapping="{{ context.c }}"),
        work(key="b", input_mapping="{{ context.a }}"),
        work(key="c", input_mapping="{{ context.b }}"),
    ]


# What is sent as the steps, and where which code must be among the problems.
WRONG_STEPS: dict[str, tuple[Any, str, str]] = {
    "none": ([], "/steps", "no_steps"),
    "an object": ({}, "/steps", "wrong_type"),
    "null": ([None], "/steps/0", "wrong_type"),
    "empty": ([{}], "/steps/0", "missing_role"),
    "equal keys": (
        [work(key="a"), work(key="a")],
        "/steps/1/key",
        "duplicate_key",
    ),
    "an unknown key": ([work(max_retires=3)], "/steps/0/max_retires", "unknown_field"),
    "a reference forward": (
        [work(input_mapping="{{ context.b }}"), work(key="b")],
        "/steps/0/input_mapping",
        "forward_reference",
    ),
    "a ring": (_ring(), "/steps/0/input_mapping", "forward_reference"),
    "a step that reads itself": (
        [work(key="a", condition={"field": "context.a", "operator": "exists"})],
        "/steps/0/condition/field",
        "self_reference",
    ),
    "a group without a name": ([work(step_type="parallel")], "/steps/0", "empty_group"),
    "a blank group": ([work(parallel_group="")], "/steps/0/parallel_group", "blank"),
    "a split group": (
        [work(parallel_group="g"), work(), work(parallel_group="g")],
        "/steps/2/parallel_group",
        "split_group",
    ),
    "a loop without an end": (
        [loop(work())],
        "/steps/0/config",
        "loop_without_limit",
    ),
    "a loop without steps": ([loop(max_iterations=3)], "/steps/0", "empty_body"),
    "loops fifty deep": (
        [nested(50, lambda inner: loop(inner, max_iterations=2), work())],
        "/steps/0" * 50,
        "too_deep",
    ),
    "a deep condition": (
        [work(condition=condition(60))],
        "/steps/0/condition" + "/not" * 50,
        "too_deep",
    ),
    "a deep template": (
        [work(input_mapping=template(60))],
        "/steps/0/input_mapping" + "/0" * 50,
        "too_deep",
    ),
    "a long key": ([work(key="k" * 100_000)], "/steps/0/key", "too_long"),
    "a long field": (
        [work(**{"f" * 10_000: 1})],
        "/steps/0/" + "f" * 10_000,
        "unknown_field",
    ),
    "a long name": ([work(name="n" * 1_000_000)], "/steps/0/name", "too_long"),
    "an endless wait": (
        [work(retry_delay_ms=10**300)],
        "/steps/0/retry_delay_ms",
        "out_of_range",
    ),
    "a number without end": (
        [work(config={"n": 10**400})],
        "/steps/0/config/n",
        "number_too_large",
    ),
    "NUL in a name": ([work(name="a\0b")], "/steps/0/name", "nul_character"),
    "NUL in a template": (
        [work(input_mapping="{{ context.input.x }}\0")],
        "/steps/0/input_mapping",
        "nul_character",
    ),
    "NUL made by a template": (
        [work(input_mapping=r"{{ '\x00' }}")],
        "/steps/0/input_mapping",
        "template_syntax",
    ),
    "half a pair in a template": (
        [work(input_mapping={"a": "\ud800{{ context.input.x }}"})],
        "/steps/0/input_mapping/a",
        "lone_surrogate",
    ),
    "half a pair in a key": (
        [work(output_mapping={"\udc00": 1})],
        "/steps/0/output_mapping/?",
        "invalid_text",
    ),
    "too many": (
        [work(name=f"s{place}") for place in range(10_001)],
        "/steps",
        "too_many_steps",
    ),
    "too many in a loop": (
        [loop(*(work(name=f"s{place}") for place in range(10_000)), max_iterations=1)],
        "/steps",
        "too_many_steps",
    ),
}
# Texts that no JSON library writes, and what they are called.
WRONG_TEXTS: dict[str, tuple[bytes, int, str]] = {
    "NaN": (b'{"%s": NaN}', 400, "malformed_json"),
    "Infinity": (b'{"%s": {"x": [-Infinity]}}', 400, "malformed_json"),
    "5,000 digits": (b'{"%s": {"x": ' + b"9" * 5_000 + b"}}", 400, "malformed_json"),
    "beyond doubles": (b'{"%s": {"x": 1e999}}', 400, "invalid"),
    "equal keys": (b'{"%s": {"x": 1, "x": 2}}', 400, "invalid"),
    "brackets": (b'{"%s": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "invalid"),
    "braces": (
        b'{"%s":' + b'{"a":' * 99_999 + b"1" + b"}" * 100_000,
        400,
        "invalid",
    ),
    "an open end": (b'{"%s": ' + b'{"a":' * 100_000, 400, "invalid"),
    "not UTF-8": (b'{"%s": "\xff\xfe"}', 400, "malformed_json"),
    "NUL bytes": (b"\0\0%s", 400, "malformed_json"),
    "too many values": (b'{"%s": [' + b"1," * 2_300_000 + b"1]}", 400, "invalid"),
    "20 MB": (b'{"%s": "' + b"x" * 20_000_000 + b'"}', 413, "too_large"),
}


def other_types(schema: Document) -> Iterator[Any]:
    """Yield values that a field of this OpenAPI schema cannot have."""
    named = schema.get("type", [])
    allowed = set(named if isinstance(named, list) else [named])
    if "number" in allowed:
        allowed.add("integer")
    if {"$ref", "allOf"} & schema.keys():  # another component, which is an object
        allowed.add("object")
    for kind, values in _VALUES.items():
        if kind not in allowed:
            yield from values
    if allowed & {"integer", "number"}:
        yield from (10**40, -(10**40))
    if "string" in allowed:
        yield "x" * 20_000


_VALUES: dict[str, tuple[Any, ...]] = {
    "boolean": (True,),
    "integer": (7,),
    "number": (1.5, 1e300),
    "string": ("text", ""),
    "array": ([], [[]]),
    "object": ({}, {"a": 1}),
}
