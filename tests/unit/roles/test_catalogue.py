"""What the catalogue is seeded with, what calls cost, and documents of models."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from roles.catalogue import prices
from roles.catalogue.candidates import missing_key, named
from roles.catalogue.choosing import Choice
from roles.catalogue.documents import read
from roles.catalogue.selecting import cheaper, misfit, rounded
from roles.catalogue.sources import Entry, entries, graded, is_conversational
from roles.runners.hosting import CallUsage, Estimate, Offer, Selection

NOBODY: frozenset[str] = frozenset()
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def known() -> dict[str, Entry]:
    return {each.name: each for each in entries(NOW)}


def test_models_are_known_without_a_network(known: dict[str, Entry]) -> None:
    gpt = known["openai:gpt-5"]
    assert gpt.api == "openai-responses"
    assert gpt.context_tokens == 400_000
    assert (gpt.input_price, gpt.cached_input_price, gpt.output_price) == (
        Decimal("1.25"),
        Decimal("0.125"),
        Decimal(10),
    )
    assert gpt.capabilities is not None
    assert {"tools", "structured_output", "reasoning", "vision"} <= {*gpt.capabilities}
    assert {each.provider for each in known.values()} == {
        "openai",
        "anthropic",
        "google",
    }


def test_a_price_with_tiers_is_its_base(known: dict[str, Entry]) -> None:
    assert known["anthropic:claude-sonnet-4-5"].input_price == Decimal(3)


def test_a_price_that_changed_is_the_one_of_the_day() -> None:
    early = {each.name: each for each in entries(datetime(2025, 1, 1, tzinfo=UTC))}
    assert early["openai:o3"].input_price == Decimal(10)
    assert {each.name: each for each in entries(NOW)}["openai:o3"].input_price == 2


@pytest.mark.parametrize(
    "name",
    ["anthropic:claude-2", "openai:gpt-3.5-turbo", "google:gemini-2.0-flash"],
)
def test_what_has_ended_is_deprecated_and_not_graded(
    known: dict[str, Entry], name: str
) -> None:
    old = known[name]
    assert old.is_deprecated
    assert (old.tier, old.quality) == ("", None)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "text-embedding-3-small"),
        ("openai", "gpt-4o-realtime-preview"),
        ("openai", "gpt-image-1"),
        ("openai", "whisper-1"),
        ("openai", "ft:gpt-4o"),
        ("openai", "gpt-4o:extended"),
        ("openai", "gpt-4o-mini-2024-07-18.ft-"),
        ("openai", "gpt-oss-120b"),
        ("google", "claude-opus-4-5"),
        ("google", "gemini-embedding-001"),
        ("google", "gemini-2.5-pro-tts"),
    ],
)
def test_what_is_not_for_conversations_is_left_out(provider: str, model: str) -> None:
    assert not is_conversational(provider, model)


def test_a_name_that_ends_in_latest_is_a_name() -> None:
    assert is_conversational("anthropic", "claude-3-5-haiku-latest")


def test_every_name_is_there_once(known: dict[str, Entry]) -> None:
    assert len(entries(NOW)) == len(known)
    for each in known.values():
        assert each.name == f"{each.provider}:{each.model}"
        assert len(each.name) <= 200


def entry(name: str, price: str | None, **facts: Any) -> Entry:
    return Entry(
        name=f"p:{name}",
        provider="p",
        model=name,
        api="openai",
        context_tokens=None,
        input_price=price and Decimal(price),  # type: ignore[arg-type]
        cached_input_price=None,
        output_price=price and Decimal(price),  # type: ignore[arg-type]
        capabilities=None,
        is_deprecated=facts.get("is_deprecated", False),
    )


def test_a_ladder_of_prices_gives_tier_and_quality() -> None:
    ladder = [entry("c", "9"), entry("a", "1"), entry("b", "3"), entry("x", None)]
    found = {each.model: (each.tier, each.quality) for each in graded(ladder, NOBODY)}
    assert found == {
        "a": ("fast", 17),
        "b": ("balanced", 33),
        "c": ("best", 50),
        "x": ("", None),
    }


def test_older_models_stand_below_current_ones_whatever_they_cost() -> None:
    models = [entry("old", "50"), entry("a", "1"), entry("b", "3"), entry("mid", "2")]
    found = {each.model: each for each in graded(models, {"p:a", "p:b"})}
    assert {name: each.quality for name, each in found.items()} == {
        "old": 50,
        "mid": 50,
        "a": 75,
        "b": 100,
    }
    assert found["old"].tier == found["b"].tier


def test_current_models_are_among_those_that_are_known(known: dict[str, Entry]) -> None:
    """Else pydantic-ai has another way now to name them."""
    for provider in ("openai", "anthropic", "google"):
        best = [each.quality for each in known.values() if each.provider == provider]
        assert 100 in best


def test_what_ended_takes_no_place_on_the_ladder() -> None:
    ladder = [entry("a", "1"), entry("old", "50", is_deprecated=True)]
    assert [each.quality for each in graded(ladder, NOBODY)] == [50, None]


OFFER = Offer(
    name="a:b",
    provider="a",
    model="b",
    api="openai",
    input_price=Decimal(2),
    cached_input_price=Decimal("0.5"),
    output_price=Decimal(10),
)


def offer(**facts: Any) -> Offer:
    known = {"name": "a:b", "provider": "a", "model": "b", "api": "openai"}
    return Offer(**{**known, **facts})


def test_cached_tokens_cost_less_and_are_among_the_input() -> None:
    usage = CallUsage(input_tokens=1000, cached_tokens=400, output_tokens=100)
    assert prices.cost(OFFER, usage) == Decimal("0.0024")


def test_more_cached_than_given_costs_no_less_than_nothing() -> None:
    usage = CallUsage(input_tokens=100, cached_tokens=1_000_000)
    assert prices.cost(OFFER, usage) == Decimal("0.00005")


def test_an_unknown_price_of_cached_tokens_is_that_of_others() -> None:
    given = offer(input_price=Decimal(2), output_price=Decimal(10))
    usage = CallUsage(input_tokens=1000, cached_tokens=1000)
    assert prices.cost(given, usage) == Decimal("0.002")


@pytest.mark.parametrize("known_one", ["input_price", "output_price"])
def test_an_unknown_price_is_not_zero(known_one: str) -> None:
    given = offer(**{known_one: Decimal(1)})
    assert prices.cost(given, CallUsage(input_tokens=1)) is None
    assert prices.ceiling(given, Estimate(input_tokens=1, output_tokens=1)) is None


def test_a_model_that_is_free_costs_nothing() -> None:
    free = offer(input_price=Decimal(0), output_price=Decimal(0))
    assert prices.cost(free, CallUsage(input_tokens=9, output_tokens=9)) == 0


def test_the_ceiling_counts_on_no_cache() -> None:
    estimate = Estimate(input_tokens=1000, output_tokens=1000)
    assert prices.ceiling(OFFER, estimate) == Decimal("0.012")


def test_cheaper_models_come_first_and_unknown_ones_last() -> None:
    dear = offer(name="a:dear", input_price=Decimal(5), output_price=Decimal(5))
    cheap = offer(name="a:cheap", input_price=Decimal(1), output_price=Decimal(1))
    unknown = offer(name="a:unknown")
    selection = Selection(offers=(unknown, dear, cheap), digest="d")
    found = cheaper(selection)
    assert [each.name for each in found.offers] == ["a:cheap", "a:dear", "a:unknown"]
    assert found.digest == "d"


@pytest.mark.parametrize(
    ("tokens", "wanted"), [(0, 0), (7, 7), (99, 99), (101, 110), (130_456, 140_000)]
)
def test_needs_of_nearly_the_same_size_are_one(tokens: int, wanted: int) -> None:
    assert rounded(tokens) == wanted


def test_a_misfit_counts_its_reasons_and_names_the_nearest() -> None:
    choice = Choice(
        chosen=None,
        rejected={"a:x": "it is deprecated; it has no tools", "b:y": "it has no tools"},
        why="",
        nearest="b:y",
    )
    assert misfit(choice) == (
        "None of 2 models fits the role's model_constraints: it has no tools (2), it "
        "is deprecated (1). The nearest is b:y: it has no tools."
    )


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "OPENAI_API_KEY is not set" in missing_key("openai-responses")
    assert "GOOGLE_API_KEY or GEMINI_API_KEY" in named("google:gemini-9").missing
    assert missing_key("openai", base_url="http://localhost:11434/v1") == ""
    assert missing_key("") == ""
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert missing_key("google") == ""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert missing_key("openai") != ""


DOCUMENT = {"provider": "inhouse", "model": "llama", "api": "openai"}


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"provider": "In House"}, "/provider", "invalid"),
        ({"provider": "demo"}, "/provider", "invalid"),
        ({"model": "a b"}, "/model", "invalid"),
        ({"model": ""}, "/model", "invalid"),
        ({"api": "smtp"}, "/api", "invalid"),
        ({"base_url": "ftp://x"}, "/base_url", "invalid"),
        ({"base_url": "https://user:pw@host/v1"}, "/base_url", "invalid"),
        ({"base_url": "http://"}, "/base_url", "invalid"),
        ({"context_tokens": -1}, "/context_tokens", "invalid"),
        ({"context_tokens": "7"}, "/context_tokens", "wrong_type"),
        ({"input_price": "-0.1"}, "/input_price", "invalid"),
        ({"input_price": "0.0000001"}, "/input_price", "invalid"),
        ({"capabilities": "tools"}, "/capabilities", "wrong_type"),
        ({"capabilities": ["Tools!"]}, "/capabilities/0", "invalid"),
        ({"tier": "good"}, "/tier", "invalid"),
        ({"quality": 101}, "/quality", "invalid"),
        ({"is_active": "yes"}, "/is_active", "wrong_type"),
        ({"price": 1}, "/price", "unknown_field"),
        ({"credential": "a\0"}, "/credential", "nul_character"),
    ],
)
def test_a_document_that_is_wrong_is_refused_at_its_place(
    changes: dict[str, Any], place: str, code: str
) -> None:
    given, [problem] = read({**DOCUMENT, **changes})
    assert given is None
    assert (problem.pointer, problem.code) == (place, code)


def test_what_a_document_must_have_is_named() -> None:
    given, problems = read({})
    assert given is None
    assert {each.code for each in problems} == {"required"}
    assert read([])[1][0].code == "wrong_type"


def test_a_document_is_read() -> None:
    given, problems = read({**DOCUMENT, "id": "x", "capabilities": ["b", "a", "b"]})
    assert not problems
    assert given is not None
    assert given.name == "inhouse:llama"
    assert given.values()["capabilities"] == ["a", "b"]
