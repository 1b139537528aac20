"""Put the demo into the database, once; what people made of it since is theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import transaction

from core_orchestration import drafts
from core_orchestration.definition import Step, parse
from core_orchestration.models import Orchestration
from core_orchestration.reasoning import expanded
from roles import registry
from roles.models import Role

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

HERE = Path(__file__).parent
SHOWCASE = "Data Processing"  # runs the same everywhere, without any agent


@transaction.atomic
def seed(
    by: AbstractBaseUser | None = None, *, reset: bool = False
) -> list[Orchestration]:
    """
    Make the demo's orchestrations that never were, and the roles that they need.

    Returns those that there are, in a fixed order. What was edited or archived is
    left alone; with `reset` everything is again what the files say.
    """
    wanted = [each for each in documents() if reset or not _ever_was(each["name"])]
    needed = set(chain.from_iterable(roles_needed(each) for each in wanted))
    for document in role_documents():
        if document["name"] in needed:
            _seed_role(document, by, reset)
    for document in wanted:
        drafts.save(document, by=by, orchestration=_current(document["name"]))
    return [found for each in documents() if (found := _current(each["name"]))]


@cache
def role_documents() -> tuple[dict[str, Any], ...]:
    """Read the demo's roles, each as one would send it to the API."""
    return tuple(_read(HERE / "roles.json"))


@cache
def documents() -> tuple[dict[str, Any], ...]:
    """Read the demo's orchestrations, each as one would send it to the API."""
    return tuple(_read(path) for path in sorted(HERE.glob("orchestrations/*.json")))


def roles_needed(document: dict[str, Any]) -> set[str]:
    """Name the roles of an orchestration, those that its patterns call included."""
    return set(_role_names(expanded(parse(document)).steps))


def _role_names(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        if step.role_name is not None:
            yield step.role_name
        yield from _role_names(step.steps)


def _seed_role(
    document: dict[str, Any], by: AbstractBaseUser | None, reset: bool
) -> None:
    role = Role.objects.filter(name=document["name"]).first()
    if role is None or reset:
        registry.save_role(document, by=by, role=role)


def _ever_was(name: str) -> bool:
    return Orchestration.objects.filter(name=name).exists()


def _current(name: str) -> Orchestration | None:
    found: Orchestration | None
    found = Orchestration.objects.filter(name=name, archived_at=None).first()
    return found


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
