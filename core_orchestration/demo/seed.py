"""Put the demo into the database, once; what people made of it since is theirs."""

from __future__ import annotations

import json
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import transaction

from core_orchestration import drafts
from core_orchestration.keys import walk
from core_orchestration.models import Orchestration
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
    steps = chain.from_iterable(walk(each["steps"]) for each in wanted)
    needed = {step["role_name"] for step in steps if "role_name" in step}
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
