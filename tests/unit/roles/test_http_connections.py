from __future__ import annotations

import gzip
import logging
import socket
import time

import pytest

from roles.runners import http


def test_a_connection_is_kept_for_the_next_call(server, send):
    server.says("/", b"x")
    send(*[{"url": server.url}] * 3)

    assert len(server.seen) == 3
    assert server.connections == 1


def test_no_cookie_is_kept_between_calls(server, send):
    server.says("/", b"x", Set_Cookie="session=1")
    send({"url": server.url}, {"url": server.url})

    assert "cookie" not in server.seen[1].headers


def test_a_proxy_of_the_environment_is_not_used(server, send, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.says("/", b"x")

    assert send({"url": server.url})["status"] == 200


def test_a_url_with_its_query_appears_in_no_log(server, send, caplog):
    caplog.set_level(logging.DEBUG)
    server.says("/", b"x")
    send({"url": server.url + "/?key=canary", "headers": {"X-Key": "canary"}})

    assert "canary" not in caplog.text


def test_a_refused_connection_is_worth_another_attempt(server, fails):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    http.configure(allowed_hosts="127.0.0.1")

    error = fails({"url": f"http://127.0.0.1:{port}"})

    assert (error.type, error.retryable) == ("http_connection", True)


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"]
)
def test_a_connection_that_breaks_is_worth_another_attempt(server, fails, sent):
    def hang_up(handler):
        handler.wfile.write(sent)
        handler.close_connection = True

    server.answers["/"] = hang_up
    error = fails({"url": server.url})

    assert (error.type, error.retryable) == ("http_connection", True)


def test_nonsense_instead_of_http_is_an_error(server, fails):
    def nonsense(handler):
        handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
        handler.close_connection = True

    server.answers["/"] = nonsense

    assert fails({"url": server.url}).type == "http_connection"


@pytest.mark.parametrize(
    ("config", "seconds"), [({"timeout_ms": 200}, 60), ({}, 0.2), ({}, -5)]
)
def test_an_endless_body_ends_with_its_time(server, fails, config, seconds):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(500):
            handler.wfile.write(b"1\r\nx\r\n")
            time.sleep(0.01)  # noqa: TID251

    server.answers["/"] = drip
    error = fails({"url": server.url, **config}, seconds=seconds)

    assert (error.type, error.retryable) == ("http_connection", True)
    assert "no complete answer" in error.message


def test_a_large_body_is_cut_off(server, fails, send):
    server.says("/", b"x" * 2000)

    assert send({"url": server.url, "max_response_bytes": 2000})["status"] == 200
    error = fails({"url": server.url, "max_response_bytes": 1999})

    assert (error.type, error.retryable) == ("response_too_large", False)
    assert "1999 bytes" in error.message


def test_a_role_cannot_raise_the_operators_limit(server, fails):
    http.configure(allowed_hosts=f"127.0.0.1:{server.port}", max_response_bytes=100)
    server.says("/", b"x" * 101)

    error = fails({"url": server.url, "max_response_bytes": 10_000})

    assert "larger than 100 bytes" in error.message


def test_a_compressed_answer_is_unpacked(server, send):
    packed = gzip.compress(b"first ") + gzip.compress(b"second")
    server.says("/", packed, Content_Type="text/plain", Content_Encoding="gzip")

    assert send({"url": server.url})["body"] == "first second"
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_a_compressed_bomb_is_cut_off(server, fails):
    bomb = gzip.compress(b"\0" * 50_000_000)
    server.says("/", bomb, Content_Encoding="gzip")

    assert fails({"url": server.url}).type == "response_too_large"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip", "gzip"),
        (gzip.compress(b"x" * 1000)[:-8], "gzip"),
        (b"x", "br"),
        (gzip.compress(gzip.compress(b"x")), "gzip, gzip"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_an_error(server, fails, body, encoding):
    server.says("/", body, Content_Encoding=encoding)
    error = fails({"url": server.url})

    assert (error.type, error.retryable) == ("bad_response", False)
