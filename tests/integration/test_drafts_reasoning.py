"""Patterns are saved as they were written, hold their roles, and run expanded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from core_orchestration import drafts, versions
from core_orchestration.reasoning import ROLE_FIELDS
from executions import pinned
from executions.plan import roles_named
from roles.models import Role
from roles.registry import RoleInUse, delete_role
from tests.unit.core_orchestration.reasoning import WHOLE, pattern

MakeRole = Callable[..., Role]
FIELDS = [(kind, field) for kind, fields in ROLE_FIELDS.items() for field in fields]


@pytest.fixture(autouse=True)
def known(make_role: MakeRole) -> None:
    for name in ("writer", "reader"):
        make_role(name)


@pytest.fixture
def judge(make_role: MakeRole) -> Role:
    return make_role("Judge")


def document(*steps: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "Thinking", "steps": list(steps), **fields}


def naming(kind: str, field: str, role: Any) -> dict[str, Any]:
    more = {"tie_break": "role"} if field == "tie_breaker" else {}
    return {**pattern(kind, **{field: role}, **more), "name": "It"}


def spelled(role: Role, way: str) -> Any:
    ways = {
        "name": role.name,
        "role_name": {"role_name": role.name},
        "role_id": {"role_id": str(role.pk).upper()},
    }
    return ways[way]


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["name", "role_name", "role_id"])
@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_role_that_a_pattern_names_is_in_use(
    judge: Role, kind: str, field: str, way: str
) -> None:
    saved = drafts.save(document(naming(kind, field, spelled(judge, way))))
    with pytest.raises(RoleInUse):
        delete_role(judge)
    drafts.archive(saved, saved.created_at)
    delete_role(judge)


@pytest.mark.django_db
def test_a_config_of_another_type_names_no_role(judge: Role) -> None:
    free = {"name": "a", "role_name": "writer", "config": {"judge": judge.name}}
    drafts.save(document(free))
    delete_role(judge)


@pytest.mark.django_db
def test_ids_of_roles_are_written_in_their_usual_form(judge: Role) -> None:
    saved = drafts.save(document(naming("debate", "judge", spelled(judge, "role_id"))))
    (written,) = drafts.document_of(saved)["steps"]
    assert written["config"]["judge"] == {"role_id": str(judge.pk)}
    assert written["step_type"] == "debate"


@pytest.mark.django_db
def test_a_role_that_vanishes_while_it_is_saved_is_noticed(
    judge: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(*args: Any, **options: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM roles_role WHERE id = %s", [judge.pk])
        return []

    monkeypatch.setattr(drafts, "problems_of", vanish)
    with pytest.raises(drafts.InvalidDefinition, match="deleted just now"):
        drafts.save(document(naming("debate", "judge", spelled(judge, "role_id"))))


@pytest.mark.django_db
@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_a_version_keeps_the_pattern_and_a_plan_has_its_steps(kind: str) -> None:
    saved = drafts.save(document({**pattern(kind), "name": "It"}))
    assert saved.published is not None
    version = str(saved.published.pk)

    (kept,) = versions.load(version).steps
    (planned,) = pinned.plan(version).definition.steps
    assert (kept.step_type, planned.step_type) == (kind, "branch")
    assert roles_named(pinned.plan(version).definition) >= {"name:writer"}
    again = drafts.save(drafts.document_of(saved), orchestration=saved)
    assert again.published is not None
    assert again.published.number == 1
