"""Orchestrations as every interface saves them, and races between those who do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from core_orchestration import drafts, versions
from core_orchestration.definition import Step, parse
from core_orchestration.models import (
    Orchestration,
    OrchestrationStep,
    OrchestrationVersion,
)
from core_orchestration.rows import normal_steps, replace_steps, steps_of
from roles.models import Role, content_digest
from roles.registry import RoleInUse, delete_role

MakeRole = Callable[..., Role]


@pytest.fixture
def shouter(make_role: MakeRole) -> Role:
    return make_role("Shouter")


def document(**fields: Any) -> dict[str, Any]:
    steps = [{"name": "Shout", "role_name": "Shouter"}]
    return {"name": "Shouting", "steps": steps, **fields}


def test_what_nobody_in_particular_saves_may_name_all_roles(
    make_role: MakeRole, other: User
) -> None:
    make_role("Shouter", created_by=other)
    assert drafts.save(document()).created_by is None


def test_a_draft_may_wait_for_its_publication(shouter: Role) -> None:
    orchestration = drafts.save(document(), publish=False)
    assert orchestration.published is None
    drafts.save(document(description="ready"), orchestration=orchestration)
    assert orchestration.published is not None
    assert orchestration.published.number == 1


def test_a_document_says_all_that_is_wrong(shouter: Role) -> None:
    with pytest.raises(drafts.InvalidDefinition) as caught:
        drafts.save(document(steps=[{"name": "A", "role_name": "B"}], tags=[1]))
    places = {problem.pointer for problem in caught.value.problems}
    assert places == {"/steps/0/role_name", "/tags/0"}
    assert str(caught.value).startswith("/tags/0")


def test_a_document_is_read_back_as_it_would_be_saved(shouter: Role) -> None:
    orchestration = drafts.save(document(tags=["a"]))
    again = drafts.document_of(orchestration)
    assert again["steps"][0]["key"] == "shout"
    drafts.save(again, orchestration=orchestration)
    assert orchestration.published is not None
    assert orchestration.published.number == 1


LIMITS = ("total_timeout_ms", "queue_timeout_ms", "at_most_once", "branch")


def published_before_the_limits(orchestration: Orchestration) -> OrchestrationVersion:
    """Make the only version what a release without the steps' limits published."""
    newer = orchestration.published
    assert newer is not None
    steps = [
        {name: value for name, value in step.items() if name not in LIMITS}
        for step in newer.definition["steps"]
    ]
    snapshot = {**newer.definition, "steps": steps}
    Orchestration.objects.filter(pk=orchestration.pk).update(published=None)
    newer.delete()
    orchestration.refresh_from_db()
    older = OrchestrationVersion.objects.create(
        orchestration=orchestration,
        number=1,
        definition=snapshot,
        digest=content_digest(snapshot),
    )
    assert older.digest != newer.digest
    return older


def test_a_version_from_before_the_limits_is_kept_while_nothing_else_changes(
    shouter: Role,
) -> None:
    orchestration = drafts.save(document())
    older = published_before_the_limits(orchestration)
    drafts.save(drafts.document_of(orchestration), orchestration=orchestration)
    assert orchestration.published == older
    drafts.save(document(), orchestration=orchestration)
    assert orchestration.published == older
    assert parse(older.definition) == versions.load(str(older.pk))


@pytest.mark.parametrize(
    "change",
    [
        {"max_retries": 1},
        {"total_timeout_ms": 1},
        {"queue_timeout_ms": 1},
        {"at_most_once": True},
    ],
)
def test_a_version_from_before_the_limits_is_followed_by_what_changes(
    shouter: Role, change: dict[str, Any]
) -> None:
    orchestration = drafts.save(document())
    older = published_before_the_limits(orchestration)
    steps = [{"name": "Shout", "role_name": "Shouter", **change}]
    drafts.save(document(steps=steps), orchestration=orchestration)
    newer = orchestration.published
    assert newer is not None
    assert newer.number == older.number + 1
    assert newer.definition["steps"][0].items() >= change.items()


def test_values_that_are_only_equal_to_python_make_a_version(shouter: Role) -> None:
    orchestration = drafts.save(document(output=[1]))
    drafts.save(document(output=[True]), orchestration=orchestration)
    assert orchestration.published is not None
    assert orchestration.published.number == 2


def test_a_release_from_before_the_limits_can_still_write_rows(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = %s AND column_name = ANY(%s)"
            " AND (is_nullable = 'YES' OR column_default = 'false')",
            [OrchestrationStep._meta.db_table, list(LIMITS)],
        )
        assert {name for (name,) in cursor.fetchall()} == set(LIMITS)


def test_a_draft_whose_role_went_has_a_problem(shouter: Role) -> None:
    orchestration = drafts.save(document())
    assert drafts.draft_problems(orchestration) == []
    Role.objects.all().delete()
    (problem,) = drafts.draft_problems(orchestration)
    assert problem.pointer == "/steps/0/role_name"


def test_nested_steps_are_kept_where_they_are(shouter: Role) -> None:
    orchestration = drafts.save(document())
    inner = (Step(key="a", name="A", order=1), Step(key="b", name="B", order=1))
    outer = Step(key="shout", name="Shout", step_type="loop", steps=inner)
    row = OrchestrationStep.objects.get(key="shout").pk

    replace_steps(orchestration, normal_steps([outer]))
    (read,) = steps_of(orchestration)
    assert [step["key"] for step in read["steps"]] == ["a", "b"]
    assert OrchestrationStep.objects.get(key="shout").pk == row

    replace_steps(orchestration, normal_steps(inner))
    assert [step["key"] for step in steps_of(orchestration)] == ["a", "b"]
    assert not OrchestrationStep.objects.filter(key="shout").exists()


def shout(key: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "name": key, "role_name": "Shouter", **fields}


def nested(**config: Any) -> dict[str, Any]:
    """A loop with a parallel step in it, whose branches are two steps and one."""
    branches = {
        "key": "both",
        "step_type": "parallel",
        "config": {"join": "any"},
        "steps": [shout("a", branch="left"), shout("b", branch="left"), shout("c")],
    }
    outer = {
        "key": "outer",
        "step_type": "loop",
        "config": {"max_iterations": 3, **config},
        "steps": [shout("first"), branches],
    }
    return document(steps=[shout("before"), outer])


def test_bodies_are_published_and_read_back_as_they_would_be_saved(
    shouter: Role,
) -> None:
    orchestration = drafts.save(nested())
    again = drafts.document_of(orchestration)
    outer = again["steps"][1]
    assert outer["config"] == {"max_iterations": 3}
    assert outer["role_id"] is outer["role_name"] is None
    both = outer["steps"][1]
    assert [step["branch"] for step in both["steps"]] == ["left", "left", None]
    drafts.save(again, orchestration=orchestration)
    drafts.save(nested(), orchestration=orchestration)
    version = orchestration.published
    assert version is not None
    assert version.number == 1
    loaded = versions.load(str(version.pk))
    assert list(loaded.steps[1].steps[1].branches) == ["left", "c"]
    assert drafts.draft_problems(orchestration) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda outer: outer["config"].update(max_iterations=4),
        lambda outer: outer["steps"][0].update(max_retries=1),
        lambda outer: outer["steps"][1]["steps"].pop(),
        lambda outer: outer["steps"][1]["steps"][2].update(branch="right"),
        lambda outer: outer["steps"][1]["config"].update(join="all"),
    ],
    ids=["config", "inner field", "one step less", "branch", "inner config"],
)
def test_a_change_anywhere_in_a_body_is_a_new_version(
    shouter: Role, change: Callable[[dict[str, Any]], None]
) -> None:
    orchestration = drafts.save(nested())
    changed = drafts.document_of(orchestration)
    change(changed["steps"][1])
    drafts.save(changed, orchestration=orchestration)
    assert orchestration.published is not None
    assert orchestration.published.number == 2
    assert drafts.document_of(orchestration) == changed


def test_steps_that_move_between_bodies_keep_their_rows(shouter: Role) -> None:
    orchestration = drafts.save(nested())
    rows = dict(orchestration.step_rows.values_list("key", "pk"))
    flat = [shout(key) for key in ("c", "before", "a", "b", "first")]
    drafts.save(document(steps=flat), orchestration=orchestration)
    after = dict(orchestration.step_rows.values_list("key", "pk"))
    assert rows.keys() - after.keys() == {"outer", "both"}
    assert after.items() <= rows.items()
    assert set(orchestration.step_rows.values_list("parent", flat=True)) == {None}
    drafts.save(nested(), orchestration=orchestration)
    (both,) = orchestration.step_rows.filter(key="both")
    assert set(both.body.values_list("key", flat=True)) == {"a", "b", "c"}


def test_faulty_bodies_are_refused_and_change_nothing(shouter: Role) -> None:
    orchestration = drafts.save(nested())
    before = drafts.document_of(orchestration)
    with pytest.raises(drafts.InvalidDefinition) as caught:
        drafts.save(nested(untill={}, max_iterations=0), orchestration=orchestration)
    found = {(each.pointer, each.code) for each in caught.value.problems}
    assert found == {
        ("/steps/1/config", "loop_without_limit"),
        ("/steps/1/config/untill", "unknown_field"),
    }
    assert drafts.document_of(orchestration) == before


@pytest.mark.parametrize("by_name", [True, False])
def test_a_role_that_only_a_step_deep_inside_names_is_in_use(
    shouter: Role, make_role: MakeRole, by_name: bool
) -> None:
    deep = make_role("Deep")
    named = {"role_name": "Deep"} if by_name else {"role_id": str(deep.pk)}
    steps = nested()
    inner = steps["steps"][1]["steps"][1]["steps"]
    inner[2] = {"key": "c", "name": "c", **named}
    orchestration = drafts.save(steps)
    with pytest.raises(RoleInUse, match="'Shouting'"):
        delete_role(deep)
    drafts.archive(orchestration, timezone.now())
    delete_role(deep)
    assert orchestration.step_rows.get(key="c").role_name == "Deep"


def test_a_role_that_vanishes_under_a_body_is_noticed_when_it_is_saved(
    shouter: Role, make_role: MakeRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = make_role("Gone")
    steps = nested()
    steps["steps"][1]["steps"][0] = {"key": "first", "role_id": str(gone.pk)}
    check = drafts.problems_of

    def check_and_delete(*args: Any, **options: Any) -> Any:
        problems = check(*args, **options)
        Role.objects.filter(pk=gone.pk).delete()
        return problems

    monkeypatch.setattr(drafts, "problems_of", check_and_delete)
    with pytest.raises(drafts.InvalidDefinition, match="was deleted just now"):
        drafts.save(steps)
    assert not Orchestration.objects.exists()


def test_an_archived_orchestration_lets_its_roles_go(shouter: Role) -> None:
    by_id = [{"name": "Shout", "role_id": str(shouter.pk)}]
    orchestration = drafts.save(document(steps=by_id))
    with pytest.raises(RoleInUse, match="'Shouting'"):
        delete_role(shouter)
    drafts.archive(orchestration, timezone.now())
    delete_role(shouter)
    assert OrchestrationStep.objects.get().role_name == "Shouter"


def test_archiving_twice_keeps_the_first_time(shouter: Role) -> None:
    orchestration = drafts.save(document())
    first = timezone.now()
    drafts.archive(orchestration, first)
    drafts.archive(orchestration, timezone.now())
    orchestration.refresh_from_db()
    assert orchestration.archived_at == first


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(5))
def test_a_role_is_either_used_or_deleted(shouter: Role, turn: int) -> None:
    steps = [{"name": "Shout", "role_id": str(shouter.pk)}]

    def save(number: int) -> str:
        try:
            drafts.save({"name": f"O {number}", "steps": steps})
        except drafts.InvalidDefinition:
            return "refused"
        finally:
            connection.close()
        return "saved"

    def delete(_: int) -> str:
        try:
            delete_role(shouter)
        except RoleInUse:
            return "in use"
        finally:
            connection.close()
        return "deleted"

    with ThreadPoolExecutor(5) as pool:
        calls = [save, save, delete, save, save]
        outcomes = list(pool.map(lambda job: job[1](job[0]), enumerate(calls)))
    saved = outcomes.count("saved")
    assert Orchestration.objects.count() == saved
    if "deleted" in outcomes:
        assert (saved, Role.objects.count()) == (0, 0)
    else:
        assert saved > 0


@pytest.mark.django_db(transaction=True)
def test_savers_of_one_orchestration_take_turns(shouter: Role) -> None:
    orchestration = drafts.save(document())

    def save(number: int) -> None:
        steps = [
            {"key": f"step_{number}", "name": "Shout", "role_name": "Shouter"},
            {"key": f"more_{number}", "name": "Shout", "role_name": "Shouter"},
        ]
        row = Orchestration.objects.get(pk=orchestration.pk)
        try:
            drafts.save(document(steps=steps), orchestration=row)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(save, range(6)))
    orchestration.refresh_from_db()
    assert orchestration.published is not None
    assert orchestration.published.number == 7
    published = [step["key"] for step in orchestration.published.definition["steps"]]
    assert [step["key"] for step in steps_of(orchestration)] == published
