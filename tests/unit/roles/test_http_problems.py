from __future__ import annotations

import pytest

from roles.runners.http import HttpRunner

runner = HttpRunner()


@pytest.mark.parametrize(
    ("config", "pointer", "words"),
    [
        ({}, "/config/url", "Give the URL"),
        ({"url": ""}, "/config/url", "Give the URL"),
        ({"url": 5}, "/config/url", "Give the URL"),
        ({"url": "example.test/a"}, "/config/url", "http://"),
        ({"url": "ftp://x.test"}, "/config/url", "http://"),
        ({"url": "https://u:p@x.test"}, "/config/url", "user name or password"),
        ({"url": "https://x.test", "method": "FETCH"}, "/config/method", "one of GET"),
        ({"url": "https://x.test", "method": None}, "/config/method", "one of GET"),
        ({"url": "https://x.test", "headers": []}, "/config/headers", "object"),
        (
            {"url": "https://x.test", "headers": {"A": "b\r\nC: d"}},
            "/config/headers/A",
            "line breaks",
        ),
        (
            {"url": "https://x.test", "headers": {"A b": ""}},
            "/config/headers/A b",
            "name",
        ),
        (
            {"url": "https://x.test", "headers": {"host": "y"}},
            "/config/headers/host",
            "cannot be changed",
        ),
        ({"url": "https://x.test", "headers": {"A": {}}}, "/config/headers/A", "text"),
        ({"url": "https://x.test", "query": "a=1"}, "/config/query", "object"),
        (
            {"url": "https://x.test", "timeout_ms": 0},
            "/config/timeout_ms",
            "above zero",
        ),
        (
            {"url": "https://x.test", "max_response_bytes": True},
            "/config/max_response_bytes",
            "integer",
        ),
        (
            {"url": "https://x.test", "follow_redirects": 1},
            "/config/follow_redirects",
            "true or false",
        ),
        (
            {"url": "https://x.test", "accept_status": 404},
            "/config/accept_status",
            "List",
        ),
        ({"url": "https://x.test", "header": {}}, "/config/header", "`headers`"),
        (
            {"url": "https://x.test", "body": {"a": "{{ context.x }}"}},
            "/config/body/a",
            "must begin with `input`",
        ),
    ],
)
def test_problems_name_their_place(role, config, pointer, words):
    ((place, sentence),) = runner.problems(role("http", config=config))

    assert place == pointer
    assert words in sentence


@pytest.mark.parametrize(
    "url",
    [
        "https://x.test/a",
        "{{ input.url }}",
        "http://{{ input.host }}:{{ input.port }}/{{ input.path }}?q={{ input.q }}",
    ],
)
def test_a_good_configuration_has_no_problems(role, url):
    config = {"url": url, "method": "post", "headers": {"A": "{{ input.a }}"}}

    assert not runner.problems(role("http", config=config))
    assert runner.pool(role("http", config=config)) == "io"


def test_a_configuration_with_problems_is_never_called(fails):
    assert fails({"url": "x", "headers": []}).type == "bad_request"
