"""A role's model is chosen out of the catalogue, and why is put on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from roles.catalogue import editing, reading, selecting
from roles.catalogue.selecting import remembered, select
from roles.models import LanguageModel, ModelChoice, Secret
from roles.runners import RoleSpec, RunnerError
from roles.runners.hosting import Needs
from roles.secrets import vault
from tests.integration.statements import statements

DEMO = "demo:echo"
OWN = {
    "provider": "inhouse",
    "api": "openai",
    "base_url": "http://models.example/v1",
    "context_tokens": 100_000,
    "input_price": "1",
    "output_price": "4",
    "capabilities": ["tools"],
    "tier": "balanced",
}


@pytest.fixture(autouse=True)
def new_process(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GOOGLE_API_KEY",
        "GEMINI_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    forget()
    yield
    forget()


def forget() -> None:
    reading.forget()
    selecting._recorded.clear()


def add(model: str, **changes: Any) -> LanguageModel:
    row = editing.save_model({**OWN, "model": model, **changes})
    reading.forget()
    return row


def role(**fields: Any) -> RoleSpec:
    return RoleSpec(id="r", name="Writer", kind="agent", **fields)


def ask(*, needs: Needs | None = None, default: str = DEMO, **fields: Any) -> Any:
    return select(role(**fields), needs or Needs(), default)


def asked(**constraints: Any) -> list[str]:
    return [each.name for each in ask(model_constraints=constraints).offers]


def fails(**fields: Any) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        ask(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("constraints", "default", "name"),
    [
        ({}, "demo:echo", "demo:echo"),
        ({}, "demo:writer", "demo:writer"),
        ({"model": "demo:writer"}, "openai:gpt-5", "demo:writer"),
        ({"pinned": "demo:echo"}, "openai:gpt-5", "demo:echo"),
    ],
)
def test_the_demo_needs_no_catalogue(
    constraints: dict[str, Any], default: str, name: str
) -> None:
    with statements() as seen:
        selection = ask(model_constraints=constraints, default=default)
    assert seen == []
    [offer] = selection.offers
    assert (offer.name, offer.api, selection.digest) == (name, "demo", "")


def test_the_installation_s_model_is_asked_if_nothing_is_said() -> None:
    add("llama")
    selection = ask(default="inhouse:llama")
    [offer] = selection.offers
    assert offer.base_url == "http://models.example/v1"
    assert (offer.input_price, offer.output_price) == (Decimal(1), Decimal(4))
    assert ModelChoice.objects.get().digest == selection.digest


def test_a_pinned_model_that_nobody_knows_is_offered_as_it_is() -> None:
    [offer] = ask(model_constraints={"model": "mistral:large"}).offers
    assert (offer.provider, offer.model, offer.api) == ("mistral", "large", "")
    assert offer.input_price is None


def test_an_empty_catalogue_is_seeded_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    names = asked(providers=["anthropic"], tier="best")
    assert names
    assert all(name.startswith("anthropic:") for name in names)
    assert LanguageModel.objects.filter(provider="openai").exists()


def test_fallbacks_come_within_the_constraints() -> None:
    add("cheap", input_price="0.1")
    add("good")
    add("dear", input_price="50")
    assert asked(max_input_price=10) == ["inhouse:cheap", "inhouse:good"]
    assert asked(max_input_price=10, allow_fallback=False) == ["inhouse:cheap"]


def test_tools_and_a_schema_are_needs_of_their_own() -> None:
    add("plain", capabilities=[], input_price="0.1")
    add("tooled", input_price="1")
    add("both", capabilities=["tools", "structured_output"], input_price="2")
    constraints = {"providers": ["inhouse"], "allow_fallback": False}

    def name(**fields: Any) -> str:
        [offer] = ask(model_constraints=constraints, **fields).offers
        return str(offer.name)

    assert name() == "inhouse:plain"
    assert name(needs_tools=True) == "inhouse:tooled"
    assert name(needs_tools=True, output_schema={"type": "object"}) == "inhouse:both"
    long = Needs(context_tokens=150_000)
    assert "context" in fails(model_constraints=constraints, needs=long).message


def test_a_choice_that_was_made_costs_no_statement() -> None:
    add("llama")
    first = ask(model_constraints={"tier": "balanced"})
    with statements() as seen:
        for _ in range(50):
            assert ask(model_constraints={"tier": "balanced"}) is first
    assert seen == []
    assert remembered(role(model_constraints={"tier": "best"}), Needs(), DEMO) is None


def test_the_same_choice_is_on_record_once() -> None:
    add("llama")
    digests = set()
    for _ in range(3):
        reading.forget()
        digests.add(ask(model_constraints={"tier": "balanced"}).digest)
    forget()  # as another process
    digests.add(ask(model_constraints={"tier": "balanced"}).digest)
    assert len(digests) == 1
    body = ModelChoice.objects.get().body
    assert body["chosen"] == "inhouse:llama"
    assert body["model_constraints"] == {"tier": "balanced"}
    assert body["rejected"]["demo:echo"].startswith("demo models are only")


def test_what_is_on_record_changes_with_the_catalogue() -> None:
    row = add("llama")
    add("other", input_price="2")
    before = ask(model_constraints={"tier": "balanced"})
    editing.patch_model(row, {"input_price": "3"})
    reading.forget()
    after = ask(model_constraints={"tier": "balanced"})
    assert [each.name for each in after.offers] == ["inhouse:other", "inhouse:llama"]
    assert before.digest != after.digest
    assert ModelChoice.objects.count() == 2


def test_an_edit_of_another_process_is_seen_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add("llama")
    asked(tier="balanced")
    LanguageModel.objects.update(is_active=False)
    assert asked(tier="balanced") == ["inhouse:llama"]
    monkeypatch.setattr(reading, "KEPT_S", 0.0)
    assert fails(model_constraints={"tier": "balanced"}).type == "no_model_fits"


def test_when_no_model_fits_the_nearest_is_named() -> None:
    add("llama")
    error = fails(model_constraints={"tier": "best"})
    assert (error.type, error.retryable) == ("no_model_fits", False)
    assert "its tier is balanced, not best (1)" in error.message
    assert "The nearest is inhouse:llama" in error.message
    assert not ModelChoice.objects.exists()


def test_a_provider_without_a_key_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    add("big", provider="openai", base_url="", tier="best")
    error = fails(model_constraints={"tier": "best"})
    assert "the environment variable OPENAI_API_KEY is not set" in error.message
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    reading.forget()
    assert asked(tier="best") == ["openai:big"]


def test_constraints_that_are_wrong_fail_the_step_for_good() -> None:
    error = fails(model_constraints={"tier": "good"})
    assert (error.type, error.retryable) == ("agent_misconfigured", False)
    assert "tier" in error.message


class TestCredentials:
    @pytest.fixture(autouse=True)
    def secret(self, new_process: None) -> Iterator[None]:
        vault.save_secret({"name": "inhouse-key", "value": "very-secret-value"})
        yield
        vault.forget("inhouse-key")

    def test_a_credential_is_opened_by_its_name(self) -> None:
        add("llama", credential="inhouse-key")
        [offer] = ask(model_constraints={"tier": "balanced"}).offers
        assert offer.credential == "very-secret-value"
        assert offer.key == "inhouse:llama:inhouse-key"
        assert "very-secret-value" not in repr(offer)
        assert "very-secret-value" not in str(ModelChoice.objects.get().body)

    def test_a_model_whose_secret_is_gone_is_out(self) -> None:
        add("llama", credential="inhouse-key")
        Secret.objects.all().delete()
        vault.forget("inhouse-key")
        error = fails(model_constraints={"tier": "balanced"})
        assert "there is no secret 'inhouse-key'" in error.message

    def test_a_pinned_model_whose_secret_is_gone_fails_for_good(self) -> None:
        add("llama", credential="inhouse-key")
        Secret.objects.all().delete()
        vault.forget("inhouse-key")
        error = fails(model_constraints={"model": "inhouse:llama"})
        assert (error.type, error.retryable) == ("secret_unknown", False)

    def test_a_credential_goes_to_no_other_host(self) -> None:
        Secret.objects.update(allowed_hosts=["other.example"])
        vault.forget("inhouse-key")
        add("llama", credential="inhouse-key")
        error = fails(model_constraints={"tier": "balanced"})
        assert error.type == "secret_not_for_host"
        Secret.objects.update(allowed_hosts=["models.example"])
        vault.forget("inhouse-key")
        reading.forget()
        assert asked(tier="balanced") == ["inhouse:llama"]


def test_a_cheaper_selection_keeps_its_reasons() -> None:
    add("good", quality=90, input_price="9")
    add("cheap", quality=10, input_price="0.1")
    selection = ask(model_constraints={"optimise": "quality"})
    assert [each.model for each in selection.offers] == ["good", "cheap"]
    cheaper = selecting.cheaper(selection)
    assert [each.model for each in cheaper.offers] == ["cheap", "good"]
    assert replace(cheaper, offers=selection.offers) == selection
