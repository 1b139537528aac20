"""What the audit log keeps of documents: what differs, of limited size, no secrets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from roles.audit.documents import (
    HIDDEN,
    LONGEST_DOCUMENT,
    LONGEST_TEXT,
    MORE,
    differing,
    kept,
    shortened,
    storable_text,
)
from roles.storable import storable_problems


def test_only_fields_that_differ_are_kept() -> None:
    before, after = {"a": 1, "b": 2, "gone": 3}, {"a": 1, "b": 3, "new": 4}
    assert differing(before, after) == (
        {"b": 2, "gone": 3, "new": None},
        {"b": 3, "gone": None, "new": 4},
    )


def test_a_document_that_fits_is_kept_whole() -> None:
    document = {"text": "é" * 5_000, "list": [1, None, True]}
    assert kept(document) == document
    assert kept(None) is None


def test_of_ten_thousand_steps_the_first_are_kept() -> None:
    steps = {f"s{n}": {"name": "x" * 100, "order": n} for n in range(10_000)}
    cut = kept({"name": "Long", "steps": steps})
    assert cut is not None
    assert cut["name"] == "Long"
    assert cut["steps"]["s0"] == steps["s0"]
    assert cut["steps"][MORE].endswith("more")
    assert len(json.dumps(cut)) < LONGEST_DOCUMENT + 1_000


@pytest.mark.parametrize("value", ["x" * 50_000, ["x" * 100] * 1_000, [[1] * 50_000]])
def test_a_long_value_is_cut(value: Any) -> None:
    cut = kept({"long": value, "short": 1})
    assert cut is not None
    assert cut["short"] == 1
    assert len(cut["long"]) == LONGEST_TEXT + 1
    assert cut["long"].endswith(MORE)
    assert len(shortened(value)) == LONGEST_TEXT + 1


@pytest.mark.parametrize(
    "name",
    ["Authorization", "api_key", "apiKey", "X-Api-Key", "password", "client_secret"],
)
@pytest.mark.parametrize("padding", ["", "x" * 50_000])
def test_what_is_named_like_a_credential_is_left_out(name: str, padding: str) -> None:
    document = {"padding": padding, "config": {"headers": [{name: "Bearer s3cr3t"}]}}
    assert "s3cr3t" not in json.dumps(kept(document))
    assert "s3cr3t" not in json.dumps(shortened(document["config"]))
    assert HIDDEN in json.dumps(shortened(document["config"]))


@pytest.mark.parametrize(
    "document",
    [
        {"headers": {"Authorization": "Bearer {{ secrets.key }}"}},
        {"max_tokens": 5, "token": 5},
        {"properties": {"token": {"type": "string"}}},
        {"secrets": ["openai"], "monkey": "chimp", "tokens": "many"},
        {"password": ""},
    ],
)
def test_what_only_looks_like_a_credential_is_kept(document: dict[str, Any]) -> None:
    assert kept(document) == document


def test_a_key_of_ours_is_left_out_wherever_it_stands() -> None:
    token = f"core_0123abcd_{'f' * 48}"
    assert kept({"note": f"it is {token}!"}) == {
        "note": f"it is core_0123abcd_{HIDDEN}!"
    }


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", float("nan"), float("inf"), 10**400])
def test_what_cannot_be_stored_is_spelled_out(bad: Any) -> None:
    found = kept({"bad": bad, "good": 1})
    assert found is not None
    assert not storable_problems(found)


def test_what_is_too_deep_is_not_kept() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert not storable_problems(kept({"deep": deep}))
    assert shortened(deep) == MORE


def test_what_is_no_json_becomes_text() -> None:
    at, key = datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1)
    assert kept({"at": at, "id": key}) == {"at": str(at), "id": str(key)}


def test_text_is_cut_and_made_storable() -> None:
    assert storable_text("a\0b\ud800" + "x" * 50, 10) == "a�b?xxxxxx"
