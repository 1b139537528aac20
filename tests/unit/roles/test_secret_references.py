"""References to secrets: found wherever they stand, and filled with nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from roles.runners.secret_text import SecretText, secrets_in
from roles.secrets.references import (
    filled,
    imagined,
    names_in,
    reference_problems,
    references_in,
)

KEY = SecretText("s3cret-value", name="key")


def test_names_are_found_at_any_depth() -> None:
    value = {
        "headers": {"X-Key": {"$secret": "a"}},
        "body": [1, [{"$secret": "b", "prefix": "Bearer "}], {"c": {"$secret": "a"}}],
    }
    assert names_in(value) == {"a", "b"}
    assert list(references_in(value, "/config")) == [
        ("/config/headers/X-Key", "a"),
        ("/config/body/1/0", "b"),
        ("/config/body/2/c", "a"),
    ]


@pytest.mark.parametrize(
    "value", [None, 1, "$secret", "text", [], {}, {"secret": "a"}, ["$secret", "a"]]
)
def test_what_names_no_secret_comes_back_as_it_is(value: Any) -> None:
    assert names_in(value) == frozenset()
    assert reference_problems(value) == []
    assert filled(value, {}) == value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"$secret": 1}, "not a number"),
        ({"$secret": None}, "not null"),
        ({"$secret": ["a"]}, "not a list"),
        ({"$secret": ""}, "no name of a secret"),
        ({"$secret": "A"}, "no name of a secret"),
        ({"$secret": "-a"}, "no name of a secret"),
        ({"$secret": "a\n"}, "no name of a secret"),
        ({"$secret": "{{ input.name }}"}, "no name of a secret"),
        ({"$secret": "x" * 101}, "no name of a secret"),
        ({"$secret": "a", "suffix": "b"}, "only a prefix"),
        ({"$secret": "a", "prefix": 1}, "prefix is text"),
    ],
)
def test_a_malformed_reference_is_named_with_its_place(
    value: Any, sentence: str
) -> None:
    (problem,) = reference_problems({"a/b": [value]}, "/config")
    assert (problem.pointer, problem.code) == ("/config/a~1b/0", "invalid_secret")
    assert sentence in problem.detail
    assert names_in([value]) == frozenset()
    assert filled([value], {}) == [value]


def test_a_value_takes_the_place_of_its_reference() -> None:
    value = {"a": {"$secret": "key"}, "b": [{"$secret": "key", "prefix": "Bearer "}, 1]}
    found = filled(value, {"key": KEY})
    assert found == {"a": "s3cret-value", "b": ["Bearer s3cret-value", 1]}
    assert value["a"] == {"$secret": "key"}
    assert [each.name for each in secrets_in(found)] == ["key", "key"]


def test_a_name_without_a_value_cannot_be_filled() -> None:
    with pytest.raises(KeyError):
        filled({"a": {"$secret": "other"}}, {"key": KEY})


def test_a_secret_that_looks_like_a_reference_is_not_filled_again() -> None:
    odd = SecretText('{"$secret": "key"}', name="odd")
    assert filled({"$secret": "odd"}, {"odd": odd, "key": KEY}) == odd


def test_runners_judge_configuration_as_if_every_secret_were_there() -> None:
    (text,) = imagined([{"$secret": "key"}])
    assert isinstance(text, SecretText)


def test_a_secret_does_not_show_itself_among_variables() -> None:
    assert "s3cret" not in repr(KEY) + repr({"a": KEY}) + repr(KEY.after("Bearer "))
    assert KEY.after(" ").strip().name == "key"
