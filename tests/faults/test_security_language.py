"""Templates, places and patterns that want more than the data they are given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.system import logs_by_key, step
from tests.faults.fleet import Fleet

pytestmark = pytest.mark.fault

QUICK_S = 5.0
ESCAPES = (
    "{{ context.__class__ }}",
    "{{ context.input | attr('__class__') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''.format(context) }}",
    "{{ '{0.__class__}'.format(context) }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{% for x in context %}{{ x }}{% endfor %}",
    "{%- import 'os' as os -%}",
    "{{ range(1000000000) }}",
    "{{ lipsum(n=100000) }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "{{ 1" + " + 1" * 4_000 + " }}",
    "{{ config }}",
    "{{ cycler.__init__.__globals__.os.environ }}",
)
# What may be data until it is looked for: there is nothing else to be found.
INERT = (
    "{{ 'x' * 1000000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ context.input.__class__ }}",
    "{{ context.input['__class__']['__mro__'] }}",
    "{{ context.input.text.format }}",
    "{{ context.input.text['__len__'] }}",
    "{{ context.input.keys }}",
    "{{ context.input.list.append }}",
)


def test_templates_reach_nothing_but_data(fleet: Fleet) -> None:
    # Given a role, and expressions that want more than data
    role = fleet.role("text.upper")

    # When a definition holds them, then it is refused, each with its place
    for field in ("input_mapping", "condition"):
        steps = [step(f"s{n}", role, **{field: v}) for n, v in attacks(field)]
        body = {"name": field, "steps": steps}
        began = time.monotonic()
        errors = fleet.post("orchestrations/", body, status=400)["errors"]
        assert time.monotonic() - began < QUICK_S
        at = {each["pointer"].rpartition(f"/{field}")[0] for each in errors}
        assert at == {f"/steps/{place}" for place in range(len(steps))}

    # When they are paths into the data, or the data themselves, they are no more
    given = {"text": "t", "list": [], "attack": ESCAPES[1], "keep": "{{ self }}"}
    steps = [
        step(f"s{n}", role, input_mapping=text, on_error="continue")
        for n, text in enumerate(INERT)
    ]
    as_data = step("data", role, input_mapping="{{ context.input.attack }}")
    made = fleet.orchestration(*steps, as_data)
    logs = logs_by_key(fleet.finished(fleet.execute(made, given)))
    assert logs["data"]["output"] == ESCAPES[1].upper()
    errors = {logs[each["name"]]["error"]["type"] for each in steps}
    assert errors == {"template_error"}


def test_a_roles_own_places_reach_nothing_but_the_input(fleet: Fleet) -> None:
    # Given roles whose prompt, address and text want more than the input
    prompts = ["{{ input.__class__ }}", "{{ input.text.format }}", "{{ input.keys }}"]
    made = [agent(fleet, prompt) for prompt in prompts]
    made += [web(fleet, f"http://{fleet.sink.address}/{text}") for text in prompts]
    made += [
        fleet.role("text.template", config={"arguments": {"template": text}})
        for text in ("{text.__class__}", "{text!r:>1000000000}", "{0.__init__}")
    ]

    # When they work
    steps = [step(f"s{n}", name, on_error="continue") for n, name in enumerate(made)]
    ended = fleet.run(*({**each, "input_mapping": GIVEN} for each in steps))

    # Then they fail for want of it, or leave it as it stands
    for log in ended["step_logs"]:
        assert "class '" not in str(log["output"])
        assert "built-in" not in str(log)
        assert len(str(log["output"])) < 1_000
        if log["error"]:
            assert log["error"]["type"] in ("template_error", "bad_arguments")
    assert fleet.sink.effects == []


def test_regular_expressions_do_not_blow_up(fleet: Fleet) -> None:
    # Given patterns that take other engines for ever, at every place for one
    evil, text = "^(a+)+$", "a" * 100_000 + "!"
    role = fleet.role("text.regex_find", config={"arguments": {"pattern": evil}})
    picky = fleet.role("text.upper", input_schema={"type": "string", "pattern": evil})
    matches = {"field": "context.input.x", "operator": "matches", "value": evil}
    made = fleet.orchestration(
        step("condition", role, condition=matches),
        step("function", role, input_mapping={"text": "{{ context.input.x }}"}),
        step(
            "schema",
            picky,
            input_mapping="{{ context.input.x }}",
            on_error="continue",
        ),
        input_schema={"properties": {"y": {"pattern": evil}}},
    )

    # When they meet their worst text
    began = time.monotonic()
    path = f"orchestrations/{made['id']}/execute/"
    refused = fleet.post(path, {"input": {"y": text}}, status=400)
    ended = fleet.finished(fleet.execute(made, {"x": text}))

    # Then they say that it does not match, at once
    assert time.monotonic() - began < QUICK_S
    assert refused["errors"][0]["pointer"] == "/input/y"
    states = {key: log["status"] for key, log in logs_by_key(ended).items()}
    assert states == {
        "condition": "skipped",
        "function": "completed",
        "schema": "failed",
    }


GIVEN = {"text": "t"}


def attacks(field: str) -> Iterator[tuple[int, Any]]:
    for number, text in enumerate(ESCAPES):
        as_value = {"field": "context.input.x", "operator": "==", "value": text}
        yield number, text if field == "input_mapping" else as_value


def agent(fleet: Fleet, prompt: str) -> str:
    return made_role(fleet, {"kind": "agent", "base_prompt": prompt})


def web(fleet: Fleet, url: str) -> str:
    return made_role(fleet, {"kind": "http", "config": {"url": url}})


def made_role(fleet: Fleet, fields: dict[str, Any]) -> str:
    name = f"role {time.monotonic_ns()}"
    fleet.post("roles/", {"name": name, **fields}, status=201)
    return name
