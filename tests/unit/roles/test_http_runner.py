from __future__ import annotations

import base64
import json

import pytest


def test_every_field_is_filled_from_the_input(server, send):
    server.says("/users/a%2Fb", b'{"ok": true}', Content_Type="application/json")
    config = {
        "method": "post",
        "url": server.url + "/users/{{ input.id }}?x=1",
        "headers": {"X-Token": "t-{{ input.token }}", "X-None": None},
        "query": {"q": "{{ input.tags }}", "n": "{{ input.n }}", "gone": None},
        "body": {"tags": "{{ input.tags }}", "note": "n={{ input.n }}"},
    }
    given = {"id": "a/b", "token": 7, "tags": ["x", "y z"], "n": 5}

    output = send(config, given=given)

    (seen,) = server.seen
    assert seen.method == "POST"
    assert seen.path == "/users/a%2Fb?x=1&q=x&q=y+z&n=5"
    assert seen.headers["x-token"] == "t-7"
    assert "x-none" not in seen.headers
    assert seen.headers["idempotency-key"] == "run-1"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert json.loads(seen.body) == {"tags": ["x", "y z"], "note": "n=5"}
    assert output["status"] == 200
    assert output["body"] == {"ok": True}
    assert output["headers"]["content-type"] == "application/json"


def test_without_a_body_the_input_is_sent_by_methods_that_have_one(server, send):
    server.says("/")
    for method in ("POST", "PUT", "PATCH", "GET", "DELETE"):
        send({"method": method, "url": server.url}, given={"a": "é"})

    bodies = [seen.body for seen in server.seen]
    assert bodies == ['{"a":"é"}'.encode()] * 3 + [b"", b""]
    assert server.seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("config", "content_type", "body"),
    [
        ({"body": "text"}, "text/plain; charset=utf-8", b"text"),
        ({"body": None}, None, b""),
        ({"body": [1]}, "application/json", b"[1]"),
        (
            {"body": "<a/>", "headers": {"content-type": "text/xml"}},
            "text/xml",
            b"<a/>",
        ),
        (
            {
                "body": {"a": "b c", "n": [1, 2]},
                "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            },
            "application/x-www-form-urlencoded",
            b"a=b+c&n=1&n=2",
        ),
    ],
)
def test_bodies_are_written_by_their_type(server, send, config, content_type, body):
    server.says("/")
    send({"method": "POST", "url": server.url, **config}, given={"x": 1})

    assert server.seen[0].headers.get("content-type") == content_type
    assert server.seen[0].body == body


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
        (b"caf\xe9", "text/plain; charset=latin-1", "café"),
        (b"caf\xe9", "text/plain; charset=punycode", "caf\ufffd"),
        (b"caf\xc3\xa9", "text/html; charset=nonsense", "café"),
        (b"plain", None, "plain"),
        (b"", "application/json", None),
    ],
)
def test_answers_are_read_by_their_type(server, send, body, content_type, expected):
    headers = {"Content_Type": content_type} if content_type else {}
    server.says("/", body, **headers)

    output = send({"url": server.url})

    assert output["body"] == expected
    assert "encoding" not in output


@pytest.mark.parametrize("body", [b"\x89PNG\xff", b"a\0b"])
def test_binary_answers_come_as_base64(server, send, body):
    server.says("/", body, Content_Type="image/png")
    output = send({"url": server.url})

    assert output["encoding"] == "base64"
    assert base64.b64decode(output["body"]) == body


@pytest.mark.parametrize("body", [b"{", b"[NaN]", b"[" * 100_000, b"\xff\xfe{"])
def test_broken_json_is_an_error_for_good(server, fails, body):
    server.says("/", body, Content_Type="application/json")

    error = fails({"url": server.url})

    assert (error.type, error.retryable) == ("bad_response", False)


def test_json_that_the_database_cannot_hold_is_named(server, fails):
    server.says("/", b'{"a": "\\u0000"}', Content_Type="application/json")

    error = fails({"url": server.url})

    assert error.type == "not_json"
    assert "/body/a" in error.message


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (404, False),
        (409, False),
        (408, True),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
        (304, False),
    ],
)
def test_failures_are_classified_by_their_status(server, fails, status, retryable):
    body = b"" if status == 304 else b"what was wrong"
    server.says("/", body, status=status, Content_Type="text/plain")

    error = fails({"url": server.url})

    assert (error.type, error.retryable) == ("http_status", retryable)
    assert f"127.0.0.1 answered {status}" in error.message
    assert body.decode() in error.message


def test_the_other_side_may_ask_for_a_pause(server, fails):
    server.says("/", status=429, Retry_After="7")
    assert fails({"url": server.url}).retry_after_s == 7

    server.says("/", status=404, Retry_After="7")
    assert fails({"url": server.url}).retry_after_s is None


def test_a_status_can_be_accepted(server, send):
    server.says("/", b"gone", status=404, Content_Type="text/plain")

    output = send({"url": server.url, "accept_status": [404]})

    assert (output["status"], output["body"]) == (404, "gone")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
def test_a_rendered_header_cannot_smuggle_another(server, fails, value):
    config = {"url": server.url, "headers": {"X-A": "{{ input.v }}"}}
    error = fails(config, given={"v": f"x{value}"})

    assert (error.type, error.retryable) == ("bad_request", False)
    assert not server.seen


def test_a_header_beyond_ascii_is_sent_as_utf_8(server, send):
    server.says("/", b"x")
    send({"url": server.url, "headers": {"X-Name": "Žižek"}})

    raw = server.seen[0].headers["x-name"]
    assert raw.encode("latin-1").decode() == "Žižek"


def test_a_path_that_leads_nowhere_fails_before_anything_is_sent(server, fails):
    error = fails({"url": server.url + "/{{ input.idd }}"}, given={"id": 1})

    assert error.type == "template_error"
    assert "did you mean `id`" in error.message
    assert not server.seen
