"""Secrets in HTTP roles: sent as they are, to the hosts that they are for."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from roles.runners import RunnerError, http
from roles.runners.addresses import parse_allowed
from roles.runners.http_problems import problems_of
from roles.runners.http_request import Request, build
from roles.runners.secret_text import SecretText, check_hosts
from roles.secrets.references import imagined
from tests.unit.roles.http_server import running_server

VALUE = "s3cret-{{ input.x }}"


def secret(*hosts: str, value: str = VALUE) -> SecretText:
    return SecretText(value, name="key", hosts=parse_allowed(hosts))


def request_of(**config: Any) -> Request:
    given = {"url": "https://api.example/x", **config}
    return build(given, {"input": {"x": 1}}, idempotency_key="k")


def test_a_secret_is_sent_as_it_is_and_taken_for_no_template(server, send):
    server.says("/", b"ok")
    send(
        {
            "url": server.url,
            "method": "POST",
            "headers": {"Authorization": secret().after("Bearer ")},
            "query": {"k": secret()},
            "body": {"a": [secret()]},
        },
        given={"x": 1},
    )
    (seen,) = server.seen
    assert seen.headers["authorization"] == f"Bearer {VALUE}"
    assert httpx.URL(seen.path).params["k"] == VALUE
    assert json.loads(seen.body) == {"a": [VALUE]}


def test_a_url_may_be_a_secret(server, send):
    server.says("/hook", b"ok")
    assert send({"url": secret(value=f"{server.url}/hook")})["body"] == "ok"


@pytest.mark.parametrize(
    "config",
    [
        {"headers": {"Authorization": secret("other.example")}},
        {"query": {"k": [secret("other.example")]}},
        {"method": "POST", "body": {"a": secret("other.example")}},
        {"url": secret("other.example", value="https://api.example/hook")},
        {"headers": {"X-Key": secret("api.example:8443")}},
        {"headers": {"X-Key": secret("example", "xapi.example", "api.example.evil")}},
    ],
)
def test_a_secret_for_another_host_never_leaves(config):
    with pytest.raises(RunnerError, match="'key' is not for api") as caught:
        request_of(**config)
    assert (caught.value.type, caught.value.retryable) == ("secret_not_for_host", False)
    assert "s3cret" not in caught.value.message


def test_a_host_that_the_input_names_is_checked_too(server, fails):
    error = fails(
        {"url": "{{ input.url }}", "headers": {"X-Key": secret("api.example")}},
        given={"url": server.url},
    )
    assert error.type == "secret_not_for_host"
    assert not server.seen


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("api.example", "https://api.example:8443/"),
        ("api.example:443", "https://api.example/"),
        ("API.example", "https://api.EXAMPLE./"),
        ("[::1]:80", "http://[::1]/"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
        ("xn--bcher-kva.example", "https://bücher.example/"),
    ],
)
def test_a_host_is_known_by_any_spelling(host, url):
    check_hosts([secret(host)], httpx.URL(url))


def test_a_redirect_to_another_host_leaves_secret_headers_behind(server, send):
    with running_server() as other:
        http.configure(
            allowed_hosts=[f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}"]
        )
        server.says("/", status=302, Location=f"{other.url}/")
        other.says("/", b"there")
        send(
            {
                "url": server.url,
                "headers": {
                    "X-Key": secret(),
                    "User-Agent": secret(),
                    "Accept": "text/plain",
                },
            }
        )
    assert VALUE in server.seen[0].headers.values()
    assert VALUE not in other.seen[0].headers.values()
    assert other.seen[0].headers["accept"] == "text/plain"


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_with_a_secret_is_not_handed_on_to_another_host(status):
    request = request_of(method="POST", body={"a": secret()})
    with pytest.raises(RunnerError) as caught:
        request.redirected(status, "https://evil.example/")
    assert caught.value.type == "secret_not_for_host"
    assert request.redirected(status, "/y").body == request.body
    assert request.redirected(303, "https://evil.example/").body is None


def test_a_body_with_a_secret_goes_on_to_a_host_that_the_secret_names():
    body = {"a": secret("api.example", "b.example")}
    request = request_of(method="POST", body=body)
    again = request.redirected(307, "https://b.example/")
    assert again.body == request.body
    with pytest.raises(RunnerError):
        again.redirected(307, "https://c.example/")


def test_the_step_up_to_https_is_checked_too():
    request = request_of(
        url="http://api.example/", headers={"X-Key": secret("api.example:80")}
    )
    with pytest.raises(RunnerError) as caught:
        request.redirected(301, "https://api.example/")
    assert caught.value.type == "secret_not_for_host"


def test_a_secret_that_no_header_can_carry_is_not_repeated():
    with pytest.raises(RunnerError) as caught:
        request_of(headers={"X-Key": secret(value="two\nlines-s3cret")})
    assert caught.value.type == "bad_request"
    assert "s3cret" not in caught.value.message


def test_references_are_no_fault_of_an_http_role():
    config = {
        "url": {"$secret": "hook"},
        "headers": {"Authorization": {"$secret": "key", "prefix": "Bearer "}},
        "body": {"$secret": "key"},
    }
    assert problems_of(imagined(config)) == []
    wrong = {**config, "timeout_ms": {"$secret": "key"}}
    assert [place for place, _ in problems_of(imagined(wrong))] == [
        "/config/timeout_ms"
    ]
