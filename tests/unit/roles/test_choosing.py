"""Models are chosen by constraints, and every other one has its reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.catalogue.candidates import Candidate, demo_models
from roles.catalogue.choosing import Choice, choose
from roles.runners.constraints import parse
from roles.runners.hosting import Needs

DEFAULT = "openai:default"


def model(name: str, **facts: Any) -> Candidate:
    provider, _, short = name.partition(":")
    known: dict[str, Any] = {
        "api": "openai",
        "context_tokens": 100_000,
        "input_price": Decimal(1),
        "output_price": Decimal(4),
        "capabilities": frozenset({"tools"}),
        "tier": "balanced",
        "quality": 50,
    }
    return Candidate(name=name, provider=provider, model=short, **{**known, **facts})


CHEAP = model("a:cheap", input_price=Decimal("0.1"), quality=10, tier="fast")
GOOD = model("b:good", quality=90, tier="best", output_price=Decimal(20))
LONG = model("b:long", context_tokens=1_000_000)
ALL = [GOOD, CHEAP, LONG]


def chosen(
    catalogue: list[Candidate], needs: Needs | None = None, **constraints: Any
) -> Choice:
    return choose(catalogue, parse(constraints), needs or Needs(), DEFAULT)


def names(choice: Choice) -> list[str]:
    first = [choice.chosen] if choice.chosen else []
    return [each.name for each in (*first, *choice.fallbacks)]


@pytest.mark.parametrize(
    ("optimise", "order"),
    [
        ("price", ["a:cheap", "b:long", "b:good"]),
        ("quality", ["b:good", "b:long", "a:cheap"]),
        ("context", ["b:long", "a:cheap", "b:good"]),
    ],
)
def test_the_best_by_what_is_optimised_comes_first(
    optimise: str, order: list[str]
) -> None:
    choice = chosen(ALL, optimise=optimise, exclude=["x:y"])
    assert names(choice) == order
    assert choice.rejected == {}
    assert order[0] in choice.why


def test_the_rest_is_compared_when_the_price_is_the_same() -> None:
    twins = [model("b:twin"), model("a:twin"), model("c:twin", quality=51)]
    assert names(chosen(twins, tier="balanced")) == ["c:twin", "a:twin", "b:twin"]


def test_a_model_without_a_price_comes_last_by_price() -> None:
    unknown = model("a:unknown", input_price=None)
    assert names(chosen([unknown, GOOD], max_fallbacks=1))[-1] == "a:unknown"


def test_preferred_models_come_first_in_their_order_if_they_fit() -> None:
    choice = chosen(ALL, preferred=["b:good", "b:long", "z:new"], max_output_price="10")
    assert names(choice) == ["b:long", "a:cheap"]
    assert choice.rejected == {
        "b:good": "its output price is 20 USD, above 10",
        "z:new": "the catalogue does not know it",
    }
    assert "preferred" in choice.why


@pytest.mark.parametrize(
    ("facts", "constraints", "reason"),
    [
        ({"is_active": False}, {"tier": "balanced"}, "it is not active"),
        ({"is_deprecated": True}, {"tier": "balanced"}, "it is deprecated"),
        (
            {"missing": "the environment variable A_KEY is not set"},
            {"tier": "balanced"},
            "the environment variable A_KEY is not set",
        ),
        ({}, {"providers": ["z"]}, "its provider is not among z"),
        ({}, {"exclude": ["a:one"]}, "the role excludes it"),
        ({}, {"tier": "best"}, "its tier is balanced, not best"),
        ({"tier": ""}, {"tier": "best"}, "its tier is unknown, not best"),
        ({}, {"capabilities": ["vision"]}, "it has no vision"),
        (
            {"capabilities": None},
            {"capabilities": ["tools"]},
            "whether it has tools is unknown",
        ),
        (
            {},
            {"min_context_tokens": 200_000},
            "its context is 100000 tokens, less than 200000",
        ),
        (
            {"context_tokens": None},
            {"min_context_tokens": 1},
            "its context is unknown, and 1 tokens are needed",
        ),
        ({}, {"max_input_price": "0.5"}, "its input price is 1 USD, above 0.5"),
        (
            {"input_price": None},
            {"max_input_price": 1},
            "its input price is unknown, and the ceiling is 1 USD",
        ),
        (
            {"output_price": None},
            {"max_output_price": 1},
            "its output price is unknown, and the ceiling is 1 USD",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_rejected_with_the_reason(
    facts: dict[str, Any], constraints: dict[str, Any], reason: str
) -> None:
    choice = chosen([model("a:one", **facts)], **constraints)
    assert choice.chosen is None
    assert choice.rejected == {"a:one": reason}
    assert choice.nearest == "a:one"


def test_every_reason_is_given_and_the_nearest_has_the_fewest() -> None:
    choice = chosen(ALL, tier="best", capabilities=["vision"], max_input_price=0.5)
    assert choice.rejected["b:long"].split("; ") == [
        "its tier is balanced, not best",
        "it has no vision",
        "its input price is 1 USD, above 0.5",
    ]
    assert choice.nearest == "a:cheap"


def test_what_the_work_needs_counts_as_a_constraint() -> None:
    needs = Needs(capabilities=frozenset({"vision"}), context_tokens=500_000)
    seeing = model("c:eye", capabilities=frozenset({"vision"}), context_tokens=600_000)
    choice = chosen([*ALL, seeing], needs, tier="balanced")
    assert names(choice) == ["c:eye"]
    assert "it has no vision" in choice.rejected["b:long"]


def test_an_exact_fit_is_a_fit() -> None:
    choice = chosen(
        [CHEAP], min_context_tokens=100_000, max_input_price="0.1", max_output_price=4
    )
    assert names(choice) == ["a:cheap"]


def test_there_are_no_more_fallbacks_than_allowed() -> None:
    assert names(chosen(ALL, max_fallbacks=1)) == ["a:cheap", "b:long"]
    alone = chosen(ALL, allow_fallback=False)
    assert names(alone) == ["a:cheap"]
    assert set(alone.rejected) == {"b:long", "b:good"}
    assert "it fits, but a:cheap come" in alone.rejected["b:good"]


def test_a_pinned_model_is_chosen_whatever_it_is() -> None:
    old = model("a:old", is_deprecated=True, is_active=False, capabilities=None)
    needs = Needs(capabilities=frozenset({"tools"}))
    choice = chosen([old, *ALL], needs, pinned="a:old", max_input_price="0.1")
    assert names(choice) == ["a:old"]
    for doubt in ("not active", "deprecated", "tools is unknown", "above 0.1"):
        assert doubt in choice.why
    assert set(choice.rejected) == {each.name for each in ALL}


def test_a_pinned_model_need_not_be_in_the_catalogue() -> None:
    choice = chosen(ALL, pinned="mistral:large")
    assert choice.chosen is not None
    assert (choice.chosen.provider, choice.chosen.api) == ("mistral", "")
    assert choice.chosen.input_price is None
    assert "the catalogue does not know it" in choice.why


def test_nothing_asked_means_the_default() -> None:
    choice = choose(ALL, parse({}), Needs(), "b:good")
    assert names(choice) == ["b:good"]
    assert choice.why == "The installation uses b:good."
    assert choice.rejected["a:cheap"] == "the installation uses b:good"


def test_demo_models_do_not_win_for_being_free() -> None:
    choice = chosen([*ALL, *demo_models()], optimise="price", max_fallbacks=9)
    assert names(choice) == ["a:cheap", "b:long", "b:good"]
    assert "only for roles that name them" in choice.rejected["demo:echo"]
    assert names(chosen(demo_models(), providers=["demo"]))[0] == "demo:echo"
    assert names(chosen(demo_models(), preferred=["demo:writer"])) == ["demo:writer"]


def test_an_empty_catalogue_fits_nobody() -> None:
    choice = chosen([], tier="fast")
    assert (choice.chosen, choice.nearest, dict(choice.rejected)) == (None, "", {})


PRICES = st.none() | st.decimals(0, 5, places=1)
MODELS = st.builds(
    model,
    st.sampled_from([f"{p}:{m}" for p in "abc" for m in "xyz"]),
    context_tokens=st.none() | st.sampled_from([1_000, 100_000]),
    input_price=PRICES,
    output_price=PRICES,
    capabilities=st.none() | st.frozensets(st.sampled_from(["tools", "vision"])),
    tier=st.sampled_from(["", "fast", "best"]),
    quality=st.none() | st.integers(0, 3),
    is_active=st.booleans(),
    is_deprecated=st.booleans(),
    missing=st.sampled_from(["", "a key"]),
)
CATALOGUES = st.lists(MODELS, unique_by=lambda each: each.name, max_size=9)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "pinned": st.sampled_from(["a:x", "q:q"]),
        "preferred": st.lists(st.sampled_from(["a:x", "b:y", "q:r"]), max_size=2),
        "providers": st.lists(st.sampled_from("ab"), max_size=2),
        "exclude": st.just(["c:z"]),
        "capabilities": st.just(["tools"]),
        "min_context_tokens": st.just(5_000),
        "max_input_price": st.integers(0, 5),
        "tier": st.sampled_from(["fast", "best"]),
        "optimise": st.sampled_from(["price", "quality", "context"]),
        "allow_fallback": st.booleans(),
        "max_fallbacks": st.integers(0, 4),
    },
)


@given(CATALOGUES, ASKED, st.randoms())
def test_the_order_of_the_catalogue_does_not_matter(
    catalogue: list[Candidate], asked: dict[str, Any], random: Any
) -> None:
    shuffled = random.sample(catalogue, len(catalogue))
    assert chosen(catalogue, **asked) == chosen(shuffled, **asked)


@given(CATALOGUES, ASKED)
def test_each_model_is_chosen_a_fallback_or_rejected_for_a_reason(
    catalogue: list[Candidate], asked: dict[str, Any]
) -> None:
    choice = chosen(catalogue, **asked)
    taken = names(choice)
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(choice.rejected)
    assert {each.name for each in catalogue} <= {*taken, *choice.rejected}
    assert all(choice.rejected.values())
    assert list(choice.rejected) == sorted(choice.rejected)


@given(CATALOGUES, ASKED)
def test_a_model_that_was_not_chosen_would_not_have_come_first(
    catalogue: list[Candidate], asked: dict[str, Any]
) -> None:
    """Taking the losers away changes nothing: the order is total."""
    first = chosen(catalogue, **asked).chosen
    if first is not None:
        alone = [each for each in catalogue if each.name == first.name]
        assert chosen(alone, **asked).chosen == first
