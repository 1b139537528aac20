"""Ask the running web process, as a client would and never through a proxy."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

ANSWER_SECONDS = 2.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    return _get(f"{url}/healthz") is not None


def execution(url: str, api_key: str, identifier: str) -> dict[str, Any] | None:
    """Return the execution, or None while it cannot be read."""
    body = _get(f"{url}/api/v1/executions/{identifier}/", api_key)
    try:
        found: dict[str, Any] = json.loads(body or b"")
    except ValueError:
        return None
    return found


def _get(url: str, api_key: str = "") -> bytes | None:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with _direct.open(request, timeout=ANSWER_SECONDS) as answer:
            body: bytes = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    return body
