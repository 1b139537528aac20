"""HTTP roles against a real server, run by real workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.sink import Sink
from tests.acceptance.system import System, logs_by_key

pytestmark = pytest.mark.acceptance


def http_role(system: System, url: str, **config: Any) -> str:
    name = f"Call {url}"
    body = {
        "name": name,
        "kind": "http",
        "config": {"method": "POST", "url": url, **config},
    }
    system.post("roles/", body, status=201)
    return name


def test_a_call_is_rendered_sent_and_answered(system: System, sink: Sink) -> None:
    url = f"http://{sink.address}/orders/{{{{ input.id }}}}"
    role = http_role(system, url, body={"amount": "{{ input.amount }}"})

    ended = system.run(
        {
            "name": "pay",
            "role_name": role,
            "input_mapping": {"id": "a b", "amount": "{{ context.input.amount }}"},
        },
        given={"amount": 12.5},
    )

    log = logs_by_key(ended)["pay"]
    assert ended["status"] == "completed", ended["error"]
    assert log["output"]["status"] == 200
    assert log["output"]["body"] == {"got": {"amount": 12.5}}
    (effect,) = sink.at("/orders/a%20b")
    assert effect.key == log["id"]


def test_every_attempt_carries_one_idempotency_key(system: System, sink: Sink) -> None:
    sink.script["/busy"] = [(503, {"Retry-After": "1"}), (500, {}), (200, {})]
    role = http_role(system, f"http://{sink.address}/busy")

    ended = system.run(
        {"name": "call", "role_name": role, "max_retries": 3, "retry_delay_ms": 10},
        given={"x": 1},
    )

    log = logs_by_key(ended)["call"]
    assert (ended["status"], log["attempt"]) == ("completed", 3)
    assert {effect.key for effect in sink.at("/busy")} == {log["id"]}
    assert len(sink.at("/busy")) == 3


def test_an_answer_that_no_retry_mends_fails_at_once(
    system: System, sink: Sink
) -> None:
    sink.script["/gone"] = [(404, {})]
    role = http_role(system, f"http://{sink.address}/gone")

    ended = system.run(
        {"name": "call", "role_name": role, "max_retries": 3, "retry_delay_ms": 10}
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "http_status")
    assert (ended["error"]["attempt"], len(sink.at("/gone"))) == (1, 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1:1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::ffff:169.254.169.254]/latest/meta-data/",
        "http://localhost:1/",
        "http://10.0.0.1/",
    ],
)
def test_a_private_address_is_refused_and_named(system: System, url: str) -> None:
    ended = system.run({"name": "call", "role_name": http_role(system, url)})

    assert (ended["status"], ended["error"]["type"]) == ("failed", "address_refused")
    assert "CORE_HTTP_ALLOWED_HOSTS" in ended["error"]["message"]
