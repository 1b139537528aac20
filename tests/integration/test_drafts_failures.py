"""What is done on failure is saved with the rest; what undoes a step holds its role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from core_orchestration import drafts, versions
from core_orchestration.models import (
    Orchestration,
    OrchestrationStep,
    OrchestrationVersion,
)
from roles.models import Role, content_digest
from roles.registry import RoleInUse, delete_role

MakeRole = Callable[..., Role]


@pytest.fixture(autouse=True)
def shouter(make_role: MakeRole) -> Role:
    return make_role("Shouter")


def shout(key: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "name": key, "role_name": "Shouter", **fields}


def document(**fields: Any) -> dict[str, Any]:
    return {"name": "Shouting", "steps": [shout("shout")], **fields}


def guarded(**fields: Any) -> dict[str, Any]:
    """A step that can be undone, and a loop on failure."""
    again = {
        "key": "again",
        "step_type": "loop",
        "config": {"max_iterations": 3},
        "steps": [shout("tell", input_mapping="{{ context.failure.message }}")],
    }
    steps = [shout("pay", compensate={"role_name": "Shouter"}), shout("send")]
    whole = {"steps": steps, "on_failure": [again, shout("last", order=9)]}
    return document(**whole | {"limits": {"max_steps": 5}} | fields)


def problems(whole: Any, **options: Any) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in drafts.problems_of(whole, **options)]


def test_both_lists_are_published_and_read_back_as_they_would_be_saved() -> None:
    orchestration = drafts.save(guarded())
    again = drafts.document_of(orchestration)
    assert [each["key"] for each in again["steps"]] == ["pay", "send"]
    assert [each["key"] for each in again["on_failure"]] == ["again", "last"]
    assert [each["key"] for each in again["on_failure"][0]["steps"]] == ["tell"]
    assert again["limits"] == {"max_steps": 5}
    drafts.save(again, orchestration=orchestration)
    assert orchestration.published is not None
    assert orchestration.published.number == 1
    loaded = versions.load(str(orchestration.published.pk))
    assert [step.key for step in loaded.on_failure] == ["again", "last"]
    assert loaded.limits == {"max_steps": 5}
    assert drafts.draft_problems(orchestration) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole["limits"].update(max_steps=6),
        lambda whole: whole.pop("limits"),
        lambda whole: whole["on_failure"].pop(),
        lambda whole: whole["steps"].append(whole["on_failure"].pop()),
        lambda whole: whole["on_failure"][0]["config"].update(max_iterations=4),
        lambda whole: whole["steps"][0].update(compensate=None),
        lambda whole: whole["steps"][0].update(milestone="send"),
    ],
    ids=[
        "limit",
        "no limits",
        "one step less",
        "other list",
        "config",
        "nothing undoes",
        "milestone",
    ],
)
def test_every_change_is_a_new_version(change: Callable[[Any], Any]) -> None:
    orchestration = drafts.save(guarded())
    changed = guarded()
    change(changed)
    drafts.save(changed, orchestration=orchestration)
    assert orchestration.published is not None
    assert orchestration.published.number == 2


def test_steps_that_change_lists_keep_their_rows() -> None:
    orchestration = drafts.save(guarded())
    rows = dict(orchestration.step_rows.values_list("key", "pk"))
    flat = [shout(key) for key in ("pay", "tell", "last")]
    drafts.save(
        document(steps=flat, on_failure=[shout("send")]), orchestration=orchestration
    )
    after = dict(orchestration.step_rows.values_list("key", "pk"))
    assert after.items() <= rows.items()
    assert orchestration.step_rows.get(on_failure=True).key == "send"
    drafts.save(document(steps=flat), orchestration=orchestration)
    assert not orchestration.step_rows.filter(on_failure=True).exists()


def test_patching_one_list_keeps_the_other() -> None:
    orchestration = drafts.save(guarded())
    drafts.patch(orchestration, {"on_failure": [shout("alone")]})
    now = drafts.document_of(orchestration)
    assert [each["key"] for each in now["steps"]] == ["pay", "send"]
    assert [each["key"] for each in now["on_failure"]] == ["alone"]
    drafts.patch(orchestration, {"steps": [shout("other")]})
    now = drafts.document_of(orchestration)
    assert [each["key"] for each in now["on_failure"]] == ["alone"]
    with pytest.raises(drafts.InvalidDefinition, match="already that of /steps/0"):
        drafts.patch(orchestration, {"on_failure": [shout("other")]})


def published_before(orchestration: Orchestration) -> OrchestrationVersion:
    """Make the only version what a release without these fields published."""
    newer = orchestration.published
    assert newer is not None
    steps = [
        {
            name: value
            for name, value in step.items()
            if name not in {"milestone", "compensate"}
        }
        for step in newer.definition["steps"]
    ]
    snapshot = {
        name: value
        for name, value in {**newer.definition, "steps": steps}.items()
        if name not in {"on_failure", "limits"}
    }
    Orchestration.objects.filter(pk=orchestration.pk).update(published=None)
    newer.delete()
    orchestration.refresh_from_db()
    return OrchestrationVersion.objects.create(
        orchestration=orchestration,
        number=1,
        definition=snapshot,
        digest=content_digest(snapshot),
    )


def test_an_older_version_is_kept_while_nothing_else_changes() -> None:
    orchestration = drafts.save(document())
    older = published_before(orchestration)
    drafts.save(drafts.document_of(orchestration), orchestration=orchestration)
    assert orchestration.published == older
    assert versions.load(str(older.pk)).on_failure == ()
    drafts.patch(orchestration, {"limits": {"max_depth": 2}})
    assert orchestration.published is not None
    assert orchestration.published.number == 2


def test_an_older_release_can_still_write_rows(db: None) -> None:
    def safe(model: Any, *names: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM information_schema.columns"
                " WHERE table_name = %s AND column_name = ANY(%s)"
                " AND (is_nullable = 'YES' OR column_default IS NOT NULL)",
                [model._meta.db_table, list(names)],
            )
            (count,) = cursor.fetchone()
            return bool(count == len(names))

    assert safe(OrchestrationStep, "milestone", "compensate", "on_failure")
    assert safe(Orchestration, "limits")


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("place", ["steps", "on_failure"])
def test_a_role_that_only_undoes_a_step_is_in_use(
    make_role: MakeRole, by_name: bool, place: str
) -> None:
    undoer = make_role("Undoer")
    named = {"role_name": "Undoer"} if by_name else {"role_id": str(undoer.pk).upper()}
    inner = shout("deep", compensate={**named, "input_mapping": 1})
    holder = {
        "key": "again",
        "step_type": "loop",
        "config": {"max_iterations": 1},
        "steps": [inner],
    }
    orchestration = drafts.save(document(**{"steps": [shout("a")], place: [holder]}))
    with pytest.raises(RoleInUse, match="'Shouting'"):
        delete_role(undoer)
    drafts.archive(orchestration, timezone.now())
    delete_role(undoer)


def test_the_id_of_a_role_that_undoes_is_written_in_its_usual_form(
    shouter: Role,
) -> None:
    undo = {"role_id": str(shouter.pk).upper(), "input_mapping": {"x": 1}}
    orchestration = drafts.save(document(steps=[shout("a", compensate=undo)]))
    (step,) = drafts.document_of(orchestration)["steps"]
    assert step["compensate"] == {**undo, "role_id": str(shouter.pk)}


@pytest.mark.parametrize("place", ["steps", "on_failure"])
def test_a_role_that_vanishes_before_it_can_undo_is_noticed(
    make_role: MakeRole, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    gone = make_role("Gone")
    undone = shout("undone", compensate={"role_id": str(gone.pk)})
    check = drafts.problems_of

    def check_and_delete(*args: Any, **options: Any) -> Any:
        found = check(*args, **options)
        Role.objects.filter(pk=gone.pk).delete()
        return found

    monkeypatch.setattr(drafts, "problems_of", check_and_delete)
    with pytest.raises(drafts.InvalidDefinition, match="was deleted just now"):
        drafts.save(document(**{"steps": [shout("a")], place: [undone]}))
    assert not Orchestration.objects.exists()


def test_somebody_elses_role_undoes_nothing(
    make_role: MakeRole, user: User, other: User
) -> None:
    make_role("Theirs", created_by=other)
    whole = document(steps=[shout("a", compensate={"role_name": "Theirs"})])
    at = "/steps/0/compensate/role_name"
    assert problems(whole, by=user) == [(at, "unknown_role")]
    assert problems(whole, by=other) == [("/steps/0/role_name", "unknown_role")]
    assert problems(whole) == []


def running(**config: Any) -> dict[str, Any]:
    child = {"key": "child", "step_type": "orchestration", "config": config}
    return document(name="Running", steps=[child])


NAMED = "/steps/0/config/orchestration_name"


def test_an_orchestration_that_is_there_and_seen_may_be_run(
    user: User, other: User
) -> None:
    theirs = drafts.save(document(name="Theirs", steps=[shout("a")]), by=None)
    Orchestration.objects.filter(pk=theirs.pk).update(created_by=other)
    by_name = running(orchestration_name="Theirs", version=1)
    by_id = running(orchestration_id=str(theirs.pk))
    assert problems(by_name) == problems(by_id) == []
    assert problems(by_name, by=other) == []
    assert problems(by_name, by=user) == [(NAMED, "unknown_orchestration")]
    at = "/steps/0/config/orchestration_id"
    assert problems(by_id, by=user) == [(at, "unknown_orchestration")]
    later = running(orchestration_name="Theirs", version=2)
    assert problems(later) == [("/steps/0/config/version", "unknown_version")]
    drafts.archive(theirs, timezone.now())
    assert problems(by_name) == [(NAMED, "unknown_orchestration")]


@pytest.mark.parametrize("place", ["steps", "on_failure"])
def test_those_named_deep_inside_and_on_failure_are_looked_up(place: str) -> None:
    (child,) = running(orchestration_name="Nobody")["steps"]
    each = {"key": "each", "step_type": "map", "config": {"items": [1]}}
    whole = document(**{"steps": [shout("a")], place: [{**each, "steps": [child]}]})
    at = f"/{place}/0/steps/0/config/orchestration_name"
    assert problems(whole) == [(at, "unknown_orchestration")]


def test_an_orchestration_may_run_itself_by_the_name_that_it_will_have() -> None:
    orchestration = drafts.save(running(orchestration_name="Running"))
    assert drafts.draft_problems(orchestration) == []
    renamed = {**running(orchestration_name="Running"), "name": "Walking"}
    assert problems(renamed, orchestration=orchestration) == [
        (NAMED, "unknown_orchestration")
    ]
    renamed = {**running(orchestration_name="Walking"), "name": "Walking"}
    drafts.save(renamed, orchestration=orchestration)
    itself = running(orchestration_id=str(orchestration.pk), version=2)
    assert problems(itself, orchestration=orchestration) == []


@pytest.mark.parametrize("name", [None, 5, [], {"a": []}])
def test_a_name_that_is_none_is_refused_and_breaks_nothing(name: object) -> None:
    orchestration = drafts.save(document())
    whole = {**running(orchestration_name="Running"), "name": name}
    found = problems(whole, orchestration=orchestration)
    assert ("/name", "wrong_type") in found


@pytest.mark.parametrize(
    "nonsense", [None, 5, [], {"steps": 5}, {"on_failure": {"a": 1}}, {"steps": [[]]}]
)
def test_nonsense_names_no_orchestration(nonsense: Any) -> None:
    assert problems(nonsense)


def test_the_installation_sets_the_ceilings(settings: Any) -> None:
    settings.CORE_MAX_EXECUTION_STEPS = 3
    settings.CORE_MAX_FAN_OUT = 4
    settings.CORE_MAX_DEPTH = 5
    settings.CORE_MAX_ITERATIONS = 6
    settings.CORE_MAX_CONTEXT_BYTES = 7
    most = {
        "max_steps": 3,
        "max_fan_out": 4,
        "max_depth": 5,
        "max_iterations": 6,
        "max_context_bytes": 7,
    }
    assert problems(document(limits=most)) == []
    above = {name: value + 1 for name, value in most.items()}
    assert set(problems(document(limits=above))) == {
        (f"/limits/{name}", "above_limit") for name in most
    }
