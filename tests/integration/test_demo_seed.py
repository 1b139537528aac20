"""The demo is seeded once, can be edited, and comes back only when asked for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from core_orchestration import drafts
from core_orchestration.demo.seed import (
    SHOWCASE,
    documents,
    role_documents,
    roles_needed,
    seed,
)
from core_orchestration.examples import example_input
from core_orchestration.models import Orchestration, OrchestrationVersion
from core_orchestration.validation import check_input
from roles.models import Role

NAMES = [
    "Code Generation",
    "Content Creation",
    "Customer Support",
    "Data Processing",
    "Debate",
    "Map Reduce",
    "Planner Executor Reviewer",
    "Research Assistant",
    "Tree of Thoughts",
    "Vote",
]


def examples() -> list[Any]:
    return [
        pytest.param(document, example, id=f"{document['name']} {number}")
        for document in documents()
        for number, example in enumerate(document["input_schema"]["examples"], 1)
    ]


@pytest.mark.django_db
def test_the_demo_is_seeded_and_published() -> None:
    owner = User.objects.create(username="root")
    seeded = seed(by=owner)
    assert [each.name for each in seeded] == NAMES
    assert SHOWCASE in NAMES
    for orchestration in seeded:
        assert orchestration.published is not None
        assert orchestration.created_by == owner
        assert "demo" in orchestration.tags
        assert orchestration.description
        assert not drafts.draft_problems(orchestration)


@pytest.mark.django_db
def test_every_role_is_used_and_no_agent_pins_a_model() -> None:
    named = set().union(*map(roles_needed, documents()))
    assert named == {document["name"] for document in role_documents()}
    seed()
    assert not Role.objects.filter(kind="agent").exclude(model_constraints={}).exists()


@pytest.mark.django_db
def test_seeding_again_changes_nothing() -> None:
    first = [each.pk for each in seed()]
    stamps = dict(Role.objects.values_list("name", "updated_at"))
    assert [each.pk for each in seed()] == first
    assert dict(Role.objects.values_list("name", "updated_at")) == stamps
    assert OrchestrationVersion.objects.count() == len(NAMES)


@pytest.mark.django_db
def test_edits_stay_until_a_reset() -> None:
    showcase = seed()[NAMES.index(SHOWCASE)]
    drafts.patch(showcase, {"description": "Mine."})
    Role.objects.filter(name="CSV Parser").update(description="Mine too.")
    call_command("seed_demo", verbosity=0, stdout=_Silent())
    assert Orchestration.objects.get(pk=showcase.pk).description == "Mine."
    assert Role.objects.get(name="CSV Parser").description == "Mine too."
    call_command("seed_demo", "--reset-demo", stdout=_Silent())
    assert Orchestration.objects.get(pk=showcase.pk).description != "Mine."
    assert Role.objects.get(name="CSV Parser").description != "Mine too."


@pytest.mark.django_db
def test_a_role_of_somebody_else_is_used_as_it_is() -> None:
    config = {"function": "csv.parse", "arguments": {"separator": ","}}
    mine = Role.objects.create(name="CSV Parser", kind="function", config=config)
    seed()
    mine.refresh_from_db()
    assert mine.config == config


@pytest.mark.django_db
def test_what_was_archived_stays_away_until_a_reset() -> None:
    old = seed()[0]
    drafts.archive(old, old.created_at)
    Role.objects.get(name="Code Planner").delete()
    assert [each.name for each in seed()] == NAMES[1:]
    assert not Role.objects.filter(name="Code Planner").exists()
    assert seed(reset=True)[0].pk != old.pk
    assert Role.objects.filter(name="Code Planner").exists()


@pytest.mark.parametrize(("document", "example"), examples())
def test_every_example_fits_its_schema(document: dict[str, Any], example: Any) -> None:
    assert check_input(document["input_schema"], example) == []


def test_the_example_of_an_orchestration_without_one_is_empty() -> None:
    assert example_input(Orchestration(input_schema={"examples": []})) == {}
    assert example_input(Orchestration()) == {}


class _Silent:
    def write(self, text: str) -> None:
        """Keep the test's output clean."""
