"""Bodies that cannot be read or kept: a clear 4xx that names the place."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from roles.models import Role
from tests.integration.answers import errors_of, problem_of

ROLES = "/api/v1/roles/"
JSON = "application/json"


def nested(levels: int) -> str:
    return '{"config": ' + "[" * levels + "]" * levels + "}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid"),
        (b"{", "malformed_json"),
        (b"{'name': 1}", "malformed_json"),
        (b'{"name": NaN}', "malformed_json"),
        (b'{"name": Infinity}', "malformed_json"),
        (b'{"name": -Infinity}', "malformed_json"),
        (b'{"name": "\xff\xfe"}', "malformed_json"),
        (b'{"name": "a"} {}', "malformed_json"),
        (b'\xef\xbb\xbf{"name": "a"}', "malformed_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", "malformed_json"),
        (b'{"name": "a\x00b"}', "malformed_json"),
        (b"\x00", "malformed_json"),
    ],
)
def test_what_is_not_json_is_refused(api: APIClient, body: Any, code: str) -> None:
    response = api.generic("POST", ROLES, body, content_type=JSON)
    assert response.status_code == 400
    assert problem_of(response)["code"] == code


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (r'{"config": {"a": ["\u0000"]}}', {"/config/a/0": "nul_character"}),
        (r'{"name": "\ud800"}', {"/name": "lone_surrogate"}),
        (r'{"config": {"\udc00": 1}}', {"/config/?": "invalid_text"}),
        (r'{"config": {"x": 1e999}}', {"/config/x": "not_a_number"}),
        (r'{"config": {"a/b": {"c": 1, "c": 2}}}', {"/config/a~1b/c": "duplicate_key"}),
        (r'{"name": "a", "name": "b"}', {"/name": "duplicate_key"}),
        (nested(99_999), {"": "too_deep"}),
    ],
)
def test_what_cannot_be_kept_is_named(
    api: APIClient, body: str, errors: dict[str, str]
) -> None:
    response = api.generic("POST", ROLES, body, content_type=JSON)
    assert response.status_code == 400
    assert errors_of(response) == errors


def test_deep_nesting_is_refused_where_it_begins(api: APIClient) -> None:
    response = api.generic("POST", ROLES, nested(150), content_type=JSON)
    ((place, code),) = errors_of(response).items()
    assert place.startswith("/config/0/0")
    assert code == "too_deep"


def test_a_body_of_20_mb_is_refused_by_its_announced_length(api: APIClient) -> None:
    body = json.dumps({"name": "x" * 20_000_000})
    start = time.monotonic()
    response = api.generic("POST", ROLES, body, content_type=JSON)
    assert time.monotonic() - start < 5  # it is not parsed
    assert response.status_code == 413
    assert problem_of(response)["code"] == "too_large"


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
def test_a_body_just_above_the_limit_is_refused(api: APIClient) -> None:
    body = {"name": "x" * 1000}
    assert api.post(ROLES, body).status_code == 413


def test_a_body_without_a_length_is_refused(api: APIClient) -> None:
    response = api.generic(
        "POST", ROLES, "", content_type=JSON, HTTP_TRANSFER_ENCODING="chunked"
    )
    assert response.status_code == 411
    problem_of(response)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml"]
)
def test_other_media_types_are_refused(api: APIClient, media_type: str) -> None:
    response = api.generic("POST", ROLES, "name=x", content_type=media_type)
    assert response.status_code == 415
    assert problem_of(response)["code"] == "unsupported_media_type"


def test_nothing_was_saved(api: APIClient) -> None:
    api.generic("POST", ROLES, '{"name": "\\u0000"}', content_type=JSON)
    assert not Role.objects.exists()


def test_a_bug_tells_nothing_of_itself(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the canary sings")

    monkeypatch.setattr("roles.views.roles.save_role", broken)
    response = api.post(ROLES, {})
    assert response.status_code == 500
    assert problem_of(response)["code"] == "internal_error"
    assert "canary" not in response.text
