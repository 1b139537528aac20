"""Reading the API's answers in tests."""

from __future__ import annotations

from typing import Any


def errors_of(response: Any) -> dict[str, str]:
    """Return the codes of a problem by their pointers, and check its form."""
    body = problem_of(response)
    return {error["pointer"]: error["code"] for error in body["errors"]}


def details_of(response: Any) -> dict[str, str]:
    """Return the sentences of a problem by their pointers."""
    return {each["pointer"]: each["detail"] for each in response.json()["errors"]}


def problem_of(response: Any) -> dict[str, Any]:
    """Return a problem's body after a look at its form."""
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body.keys() >= {"type", "title", "status", "code", "detail", "errors"}
    assert body["status"] == response.status_code
    return body
