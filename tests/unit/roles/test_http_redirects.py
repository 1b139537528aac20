from __future__ import annotations

import pytest

from roles.runners import http
from tests.unit.roles.http_server import running_server


@pytest.mark.parametrize(
    ("url", "type_"),
    [
        ("http://127.1:{port}/", "address_refused"),
        ("http://2130706433:{port}/", "address_refused"),
        ("http://0x7f000001:{port}/", "address_refused"),
        ("http://[::ffff:127.0.0.1]:{port}/", "address_refused"),
        ("http://127.0.0.1:{other}/", "address_refused"),
        ("http://user:pw@127.0.0.1:{port}/", "address_refused"),
        ("http://x.test@169.254.169.254/", "address_refused"),
        ("ftp://127.0.0.1:{port}/", "address_refused"),
        ("file:///etc/passwd", "address_refused"),
        ("http://", "address_refused"),
        ("//127.0.0.1/", "address_refused"),
        ("http://[::1", "bad_request"),
        ("http://a b/", "bad_request"),
    ],
)
def test_refused_addresses(server, fails, url, type_):
    server.says("/", b"x")
    url = url.format(port=server.port, other=server.port + 1)

    error = fails({"url": "{{ input.url }}"}, given={"url": url})

    assert (error.type, error.retryable) == (type_, False)
    assert not server.seen
    assert "pw" not in error.message


def test_redirects_are_followed_and_each_is_checked(server, send, fails):
    server.says("/a", status=302, Location="/b?x=1")
    server.says("/b", b"there")
    assert send({"url": server.url + "/a"})["body"] == "there"

    server.says("/a", status=302, Location=f"http://127.1:{server.port}/b")
    server.seen.clear()
    error = fails({"url": server.url + "/a"})

    assert error.type == "address_refused"
    assert [seen.path for seen in server.seen] == ["/a"]


@pytest.mark.parametrize(
    ("location", "type_"),
    [
        ("file:///etc/passwd", "address_refused"),
        ("http://169.254.169.254/latest", "address_refused"),
        ("http://u:p@127.0.0.1/", "address_refused"),
        ("http://[", "bad_request"),
    ],
)
def test_a_redirect_cannot_lead_astray(server, fails, location, type_):
    server.says("/", status=301, Location=location)

    assert fails({"url": server.url}).type == type_


def test_redirects_have_an_end(server, fails):
    server.says("/", status=307, Location="/")
    error = fails({"url": server.url})

    assert (error.type, error.retryable) == ("too_many_redirects", False)
    assert len(server.seen) == 6


def test_a_redirect_can_be_the_answer(server, send):
    server.says("/", status=302, Location="http://169.254.169.254/")

    output = send({"url": server.url, "follow_redirects": False})

    assert output["status"] == 302
    assert output["headers"]["location"] == "http://169.254.169.254/"


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST")]
)
def test_a_redirect_keeps_or_drops_the_body(server, send, status, method):
    server.says("/a", status=status, Location="/b")
    server.says("/b", b"x")
    send({"method": "POST", "url": server.url + "/a"}, given={"a": 1})

    second = server.seen[1]
    assert second.method == method
    assert second.body == (b'{"a":1}' if method == "POST" else b"")
    assert ("content-type" in second.headers) == (method == "POST")


def test_secrets_stay_with_the_origin_they_were_meant_for(server, send):
    headers = {"Authorization": "Bearer s", "Cookie": "c=1", "X-Api-Key": "k"}
    server.says("/same", status=307, Location="/end")
    server.says("/end", b"x")
    send({"url": server.url + "/same", "headers": headers})
    assert server.seen[1].headers["x-api-key"] == "k"

    with running_server() as other:
        http.configure(allowed_hosts="127.0.0.1")
        server.says("/other", status=307, Location=other.url + "/end")
        other.says("/end", b"x")
        send({"url": server.url + "/other", "headers": headers})

    (stranger,) = other.seen
    assert not {"authorization", "cookie", "x-api-key"} & stranger.headers.keys()
    assert stranger.headers["idempotency-key"] == "run-1"
    assert stranger.headers["host"] == f"127.0.0.1:{other.port}"
