"""The catalogue is seeded without a network, and edits of people outlive it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import connection

from roles.catalogue import reading, seeding
from roles.catalogue.editing import patch_model, save_model
from roles.catalogue.seeding import Seeded, ensure_seeded, seed
from roles.catalogue.sources import Entry, entries
from roles.models import LanguageModel

KNOWN = entries()


@pytest.fixture(autouse=True)
def new_process(db: None) -> Iterator[None]:
    reading.forget()
    yield
    reading.forget()


def known(*names: str) -> list[Entry]:
    return [each for each in KNOWN if each.name in names]


def row(name: str) -> LanguageModel:
    return LanguageModel.objects.get(name=name)


GPT, OPUS = "openai:gpt-5", "anthropic:claude-opus-4-5"


def test_the_command_says_what_it_did() -> None:
    out = StringIO()
    call_command("seed_models", stdout=out)
    assert out.getvalue().startswith(f"{len(KNOWN)} models added, 0 changed, 0 left")
    out = StringIO()
    call_command("seed_models", stdout=out)
    assert out.getvalue().startswith(f"0 models added, 0 changed, {len(KNOWN)} left")


def test_seeding_again_renews_what_changed() -> None:
    [entry] = known(GPT)
    seed([replace(entry, input_price=Decimal(9), tier="fast")])
    before = row(GPT).updated_at
    assert seed([entry]) == Seeded(added=0, changed=1, left=0)
    assert row(GPT).input_price == entry.input_price
    assert row(GPT).tier == entry.tier
    assert row(GPT).updated_at > before


def test_what_somebody_edited_is_left_alone() -> None:
    [entry] = known(GPT)
    seed([entry])
    patch_model(row(GPT), {"input_price": "0.01", "is_active": False})
    newer = replace(entry, input_price=Decimal(7), output_price=Decimal(8))
    assert seed([newer]).changed == 1
    kept = row(GPT)
    assert (kept.input_price, kept.output_price) == (Decimal("0.01"), Decimal(8))
    assert not kept.is_active
    assert kept.edited == ["input_price", "is_active"]


def test_a_model_that_vanished_is_deprecated_and_not_deleted() -> None:
    seed(known(GPT, OPUS))
    assert seed(known(OPUS)) == Seeded(added=0, changed=1, left=1)
    assert row(GPT).is_deprecated
    assert not row(OPUS).is_deprecated
    assert seed(known(OPUS)).changed == 0
    seed(known(GPT, OPUS))
    assert not row(GPT).is_deprecated


def test_a_model_that_vanished_stays_if_somebody_says_so() -> None:
    seed(known(GPT))
    patch_model(row(GPT), {"is_deprecated": True})
    patch_model(row(GPT), {"is_deprecated": False})
    assert seed([]).changed == 0


def test_models_that_people_added_are_theirs() -> None:
    mine = {"provider": "openai", "model": "my-own", "api": "openai"}
    save_model(mine)
    save_model({**mine, "provider": "inhouse"})
    assert seed([]).changed == 0
    assert not LanguageModel.objects.filter(is_deprecated=True).exists()


def test_a_catalogue_that_has_models_is_not_filled() -> None:
    seed(known(GPT))
    ensure_seeded()
    assert LanguageModel.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_several_who_find_it_empty_fill_it_once(transactional_db: None) -> None:
    racers = 4
    line = Barrier(racers)

    def fill(_: int) -> None:
        try:
            connection.ensure_connection()
            line.wait()
            seeding.ensure_seeded()
        finally:
            connection.close()

    with ThreadPoolExecutor(racers) as pool:
        list(pool.map(fill, range(racers)))
    assert LanguageModel.objects.count() == len(KNOWN)
