"""What fools and fuzzers send: a clear 4xx that names the place, and nothing more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.acceptance.system import step
from tests.faults.definitions import (
    ROLE,
    WRONG_STEPS,
    WRONG_TEXTS,
    condition,
    other_types,
    template,
    work,
)
from tests.faults.fleet import Fleet

pytestmark = pytest.mark.fault

PROBLEM = "application/problem+json"
QUICK_S = 2.0
BOUNDED_S = 15.0


@pytest.fixture(scope="module")
def role(whole_fleet: Fleet) -> str:
    return whole_fleet.role("text.template", config={"arguments": {"template": "ok"}})


@pytest.fixture(autouse=True)
def still_quick(fleet: Fleet) -> Iterator[None]:
    """Whatever was sent, the next request is answered as if nothing had been."""
    yield
    began = time.monotonic()
    assert fleet.client.get("executions/").status_code == 200
    assert time.monotonic() - began < QUICK_S


@pytest.mark.parametrize("what", WRONG_STEPS)
def test_wrong_steps_are_refused_with_their_place(
    fleet: Fleet, role: str, what: str
) -> None:
    # Given steps with one fault
    steps, pointer, code = WRONG_STEPS[what]
    text = json.dumps({"name": what, "steps": steps}).replace(ROLE, role)

    # When they are sent, to be saved or to be looked at
    saved = send(fleet, "orchestrations/", text)
    looked_at = send(fleet, "orchestrations/validate/", text)

    # Then the fault and its place are named
    assert saved.status_code == 400, saved.text[:500]
    assert (pointer, code) in places(problem(saved)["errors"])
    told = looked_at.json().get("problems") or looked_at.json()["errors"]
    assert (pointer, code) in places(told)


@pytest.mark.parametrize("what", WRONG_TEXTS)
def test_wrong_json_is_refused_wherever_it_is_sent(
    fleet: Fleet, role: str, what: str
) -> None:
    # Given a body that cannot be read or kept
    text, status, code = WRONG_TEXTS[what]
    made = fleet.orchestration(step("work", role))

    # When it is sent to each door
    for path, field in (
        ("orchestrations/", b"steps"),
        (f"orchestrations/{made['id']}/execute/", b"input"),
        ("roles/", b"config"),
        ("executions/bulk/", b"filter"),
    ):
        answer = send(fleet, path, text.replace(b"%s", field))

        # Then it is refused, and says why
        assert answer.status_code == status, answer.text[:500]
        assert problem(answer)["code"] == code
        assert problem(answer)["detail"]
    assert fleet.get(f"executions/?orchestration={made['id']}")["results"] == []


def test_every_field_refuses_values_of_other_types(fleet: Fleet, role: str) -> None:
    # Given every field of the published schema with every value it cannot have
    components = fleet.get("schema/")["components"]["schemas"]
    wrong: list[tuple[str, Any]] = [
        (field, value)
        for field, schema in components["Step"]["properties"].items()
        if field not in ("input_mapping", "on_error")
        for value in other_types(schema)
    ]
    wrong += [("on_error", value) for value in other_types({})]
    assert len(wrong) > 150

    # When all are sent in one document
    steps = [work(key=f"s{place}") for place in range(len(wrong))]
    for sent, (field, value) in zip(steps, wrong, strict=True):
        sent["role_name"] = role
        sent[field] = value
    answer = send(fleet, "orchestrations/", json.dumps({"name": "x", "steps": steps}))

    # Then each is named
    pointers = {each["pointer"] for each in problem(answer)["errors"]}
    missed = [
        (field, str(value)[:20])
        for place, (field, value) in enumerate(wrong)
        if f"/steps/{place}/{field}" not in pointers
    ]
    assert missed == []

    # And so it is for the fields of the whole
    for field, schema in components["Orchestration"]["properties"].items():
        if field == "output" or schema.get("readOnly"):
            continue
        for value in other_types(schema):
            body = {"name": "x", "steps": [work(role_name=role)], field: value}
            answer = send(fleet, "orchestrations/", json.dumps(body))
            assert answer.status_code == 400, (field, value)
            assert any(
                each["pointer"].startswith(f"/{field}")
                for each in problem(answer)["errors"]
            ), (field, value)


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        (5, "/input", "wrong_type"),
        ([], "/input", "wrong_type"),
        ("{}", "/input", "wrong_type"),
        ({"n": "1"}, "/input/n", "wrong_type"),
        ({"n": 10**400}, "/input/n", "number_too_large"),
        ({"n": 10**300}, "/input/n", "invalid_value"),
        ({"a\0b": 1}, "/input/a\ufffdb", "invalid_text"),
        ({"x": "\0"}, "/input/x", "nul_character"),
        ({"x": {"\udfff": 1}}, "/input/x/?", "invalid_text"),
        ({"x": ["\ud800"]}, "/input/x/0", "lone_surrogate"),
        ({"x": template(60)}, "/input/x" + "/0" * 49, "too_deep"),
    ],
)
def test_a_wrong_input_starts_nothing(
    fleet: Fleet, role: str, given: Any, pointer: str, code: str
) -> None:
    # Given an orchestration that wants a small number
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}}
    made = fleet.orchestration(step("work", role), input_schema=schema)

    # When it is executed with something else
    path = f"orchestrations/{made['id']}/execute/"
    answer = send(fleet, path, json.dumps({"input": given}))

    # Then the place is named, and nothing was started
    assert answer.status_code == 400
    assert (pointer, code) in places(problem(answer)["errors"])
    assert fleet.get(f"executions/?orchestration={made['id']}")["results"] == []


def test_the_largest_and_deepest_that_is_taken_comes_to_an_end(
    fleet: Fleet, role: str
) -> None:
    # Given the deepest templates and conditions, and the largest input
    deep = work(input_mapping=template(49), condition=condition(48))
    made = fleet.orchestration({**deep, "role_name": role}, output=template(49))
    large = {"x": "y" * 5_000_000, "k" * 100_000: 2**1000}

    # When they are executed
    ended = fleet.finished(fleet.execute(made, large))

    # Then they run, or fail and say why
    assert ended["status"] == "completed", ended["error"]
    text = fleet.orchestration(
        step("twice", role, input_mapping="{{ context.input.x }}{{ context.input.x }}")
    )
    ended = fleet.finished(fleet.execute(text, large))
    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert "characters" in ended["error"]["message"]


@pytest.mark.parametrize(
    "address",
    [
        "executions/?page_size=-1",
        "executions/?page_size=" + "9" * 500,
        "executions/?cursor=%00",
        "executions/?cursor=cD0lMDA%3D",
        "executions/?status=%00",
        "executions/?search=%00%ff",
        "executions/?orchestration=%00",
        "executions/?created_after=99999-99-99T00:00:00Z",
        "executions/?created_after=0001-01-01T00:00:00%2B23:59",
        "executions/?created_before=9999-12-31T23:59:59-23:59",
        "executions/?search=" + "a" * 10_000,
        "executions/" + quote("\0/../..", safe="") + "/",
        "executions/00000000-0000-0000-0000-00000000000g/",
        "orchestrations/?search=%00",
        "roles/?search=%ed%a0%80",
        "roles/" + "a" * 30_000 + "/",
        "schema/?format=%00",
        "workers/?page_size=NaN",
    ],
)
def test_no_address_is_a_fault_of_ours(fleet: Fleet, address: str) -> None:
    answer = fleet.client.get(address)
    assert answer.status_code < 500, answer.text[:500]
    if answer.status_code >= 400 and answer.headers["Content-Type"] == PROBLEM:
        assert problem(answer)["detail"]


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 60_000])
def test_an_idempotency_key_that_is_none_starts_nothing(
    fleet: Fleet, role: str, key: str
) -> None:
    made = fleet.orchestration(step("work", role))
    path = f"orchestrations/{made['id']}/execute/"
    answer = fleet.client.post(path, json={}, headers={"Idempotency-Key": key})
    assert 400 <= answer.status_code < 500
    assert fleet.get(f"executions/?orchestration={made['id']}")["results"] == []


def send(fleet: Fleet, path: str, text: str | bytes) -> httpx.Response:
    """Post what no JSON library would write, and be answered before long."""
    headers = {"Content-Type": "application/json"}
    began = time.monotonic()
    answer = fleet.client.post(path, content=text, headers=headers)
    assert time.monotonic() - began < BOUNDED_S
    return answer


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == PROBLEM, answer.text[:500]
    found: dict[str, Any] = answer.json()
    assert found["status"] == answer.status_code
    return found


def places(errors: list[dict[str, str]]) -> set[tuple[str, str]]:
    assert all(each["detail"] for each in errors)
    return {(each["pointer"], each["code"]) for each in errors}
