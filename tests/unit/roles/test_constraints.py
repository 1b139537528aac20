"""What a role may ask of its model, and what is wrong with what it asks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from roles.runners.constraints import Constraints, constraint_problems, parse


def test_nothing_asked_leaves_it_to_the_installation() -> None:
    assert parse({}).leaves_it_open
    assert parse({"model": None, "tier": None}).leaves_it_open
    assert not parse({"tier": "fast"}).leaves_it_open


@pytest.mark.parametrize("key", ["model", "pinned"])
def test_model_and_pinned_mean_the_same(key: str) -> None:
    assert parse({key: " openai:gpt-5 "}).pinned == "openai:gpt-5"


def test_every_constraint_is_read() -> None:
    given = {
        "preferred": ["openai:gpt-5"],
        "providers": ["openai", "anthropic"],
        "exclude": ["openai:o3"],
        "capabilities": ["tools"],
        "min_context_tokens": 100_000,
        "max_input_price": 2.5,
        "max_output_price": "10",
        "tier": "best",
        "optimise": "quality",
        "allow_fallback": False,
        "max_fallbacks": 1,
    }
    assert constraint_problems(given) == []
    read = parse(given)
    assert (read.max_input_price, read.max_output_price) == (
        Decimal("2.5"),
        Decimal(10),
    )
    assert read.preferred == ("openai:gpt-5",)


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"model": "gpt-5"}, "/model", "`provider:name`"),
        ({"model": 5}, "/model", "`provider:name`"),
        ({"pinned": ["a:b"]}, "/pinned", "`provider:name`"),
        ({"pinned": "demo:shout"}, "/pinned", "no demo model"),
        ({"preferred": "openai:gpt-5"}, "/preferred", "a list"),
        ({"preferred": ["openai:gpt-5", "gpt"]}, "/preferred/1", "`provider:name`"),
        ({"providers": ["OpenAI"]}, "/providers/0", "small letters"),
        ({"providers": ["openai\n"]}, "/providers/0", "small letters"),
        ({"capabilities": [7]}, "/capabilities/0", "must be text"),
        ({"exclude": ["o3"]}, "/exclude/0", "`provider:name`"),
        ({"min_context_tokens": "many"}, "/min_context_tokens", "whole number"),
        ({"min_context_tokens": True}, "/min_context_tokens", "whole number"),
        ({"min_context_tokens": 0}, "/min_context_tokens", "greater than"),
        ({"max_input_price": -1}, "/max_input_price", "greater than"),
        ({"max_input_price": "cheap"}, "/max_input_price", "decimal"),
        ({"max_output_price": "NaN"}, "/max_output_price", "finite"),
        ({"tier": "good"}, "/tier", "'fast', 'balanced' or 'best'"),
        ({"optimise": "speed"}, "/optimise", "'price', 'quality' or 'context'"),
        ({"allow_fallback": "no"}, "/allow_fallback", "true or false"),
        ({"max_fallbacks": 21}, "/max_fallbacks", "20"),
        ({"optimize": "price"}, "/optimize", "Did you mean 'optimise'?"),
    ],
)
def test_a_fault_is_named_at_its_place(
    given: dict[str, Any], place: str, words: str
) -> None:
    [(pointer, sentence)] = constraint_problems(given)
    assert pointer == f"/model_constraints{place}"
    assert words in sentence
    with pytest.raises(ValidationError):
        parse(given)


def test_two_names_for_the_model_must_agree() -> None:
    both = {"model": "openai:gpt-5", "pinned": "openai:o3"}
    [(pointer, sentence)] = constraint_problems(both)
    assert pointer == "/model_constraints/model"
    assert "the same" in sentence
    assert constraint_problems({"model": "a:b", "pinned": "a:b"}) == []


def test_a_pinned_model_cannot_be_excluded() -> None:
    [(_, sentence)] = constraint_problems({"pinned": "a:b", "exclude": ["a:b"]})
    assert "exclude" in sentence


def test_all_faults_are_listed_at_once() -> None:
    given = {"tier": 1, "speed": 1, "providers": [""]}
    assert {pointer for pointer, _ in constraint_problems(given, "/x")} == {
        "/x/tier",
        "/x/speed",
        "/x/providers/0",
    }


def test_constraints_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Constraints().tier = "fast"  # type: ignore[misc]
