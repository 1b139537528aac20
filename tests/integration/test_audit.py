"""Each change of roles, keys and orchestrations leaves one entry: who, before, after."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from roles import audit, keys, registry
from roles.acting import Actor, acting_as, actor
from roles.models import ApiKey, AuditEntry, Role
from tests.integration.auditing import entries, entry, whole_log
from tests.integration.pages import PAGES, page, stored

pytestmark = pytest.mark.django_db

ROLES = "/api/v1/roles/"
ORCHESTRATIONS = "/api/v1/orchestrations/"
ROLE = {"name": "Shouter", "kind": "function", "config": {"function": "text.upper"}}
MakeRole = Callable[..., Role]


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def document(**fields: Any) -> dict[str, Any]:
    steps = [{"name": "Shout", "role_name": "Shouter"}]
    return {"name": "Shouting", "steps": steps, **fields}


# --- roles ------------------------------------------------------------------------


def test_a_role_that_is_made_is_on_record(api: APIClient, user: User) -> None:
    made = api.post(ROLES, ROLE).json()
    found = entry("role.")
    assert (found.action, found.object_type) == ("role.create", "role")
    assert (found.object_id, found.object_name) == (made["id"], "Shouter")
    assert (found.channel, found.user, found.user_name) == ("api", user, "ada")
    assert found.api_key_id == ApiKey.objects.get(user=user).pk
    assert found.before is None
    assert found.after is not None
    assert found.after["config"] == ROLE["config"]


def test_a_session_is_a_person_without_a_key(user: User) -> None:
    client = APIClient()
    client.force_login(user)
    assert client.post(ROLES, ROLE, format="json").status_code == 201
    found = entry("role.create")
    assert (found.channel, found.user, found.api_key_id) == ("api", user, None)


def test_of_a_role_that_is_changed_only_what_differs_is_kept(
    api: APIClient, make_role: MakeRole
) -> None:
    role = make_role()
    assert api.patch(f"{ROLES}{role.pk}/", {"description": "Loud"}).status_code == 200
    found = entry("role.")
    assert found.action == "role.update"
    assert (found.before, found.after) == (
        {"description": ""},
        {"description": "Loud"},
    )


def test_a_role_that_is_saved_as_it_was_is_no_change(
    api: APIClient, make_role: MakeRole
) -> None:
    assert api.put(f"{ROLES}{make_role().pk}/", ROLE).status_code == 200
    assert not entries("role.")


def test_a_role_that_is_removed_stands_in_the_log_as_it_was(
    api: APIClient, make_role: MakeRole
) -> None:
    role = make_role()
    assert api.delete(f"{ROLES}{role.pk}/").status_code == 204
    found = entry("role.")
    assert (found.action, found.object_id) == ("role.delete", str(role.pk))
    assert found.before is not None
    assert found.before["kind"] == "function"
    assert found.after is None


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
def test_what_is_refused_leaves_nothing(
    api: APIClient, make_role: MakeRole, verb: str
) -> None:
    role = make_role()
    drafts.save(document())
    before = AuditEntry.objects.count()
    place = ROLES if verb == "post" else f"{ROLES}{role.pk}/"
    answer = getattr(api, verb)(place, {"name": "", "kind": "function"})
    assert answer.status_code in (400, 409)
    assert AuditEntry.objects.count() == before


def test_what_is_rolled_back_leaves_nothing(user: User) -> None:
    @transaction.atomic
    def twice() -> None:
        registry.save_role(ROLE, by=user)
        Role.objects.create(name="Shouter", kind="function")

    with pytest.raises(IntegrityError):
        twice()
    assert not entries("role.")


def test_a_name_that_was_taken_in_between_leaves_nothing(
    make_role: MakeRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_role()
    monkeypatch.setattr(registry, "_is_taken", lambda *_: False)
    with pytest.raises(registry.InvalidRole):
        registry.save_role(ROLE)
    assert not entries("role.")


def test_the_admin_edits_under_its_own_channel(
    admin: Client, root: User, make_role: MakeRole
) -> None:
    role = make_role()
    form = {**ROLE, "config": '{"function": "text.lower"}', "is_active": "on"}
    blank = ("description", "base_prompt", "input_schema", "output_schema")
    form |= dict.fromkeys(blank, "") | {"tools": "[]", "model_constraints": "{}"}
    answer = admin.post(f"/admin/roles/role/{role.pk}/change/", form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    found = entry("role.")
    assert (found.action, found.channel, found.user) == ("role.update", "admin", root)
    assert (found.before, found.after) == (
        {"config": {"function": "text.upper"}},
        {"config": {"function": "text.lower"}},
    )


def test_an_action_of_a_list_leaves_an_entry_for_each(
    admin: Client, make_role: MakeRole
) -> None:
    chosen = [str(make_role(name).pk) for name in ("A", "B")]
    form = {"action": "deactivate", "_selected_action": chosen}
    admin.post("/admin/roles/role/", form)
    admin.post("/admin/roles/role/", form)
    assert {(each.object_name, str(each.after)) for each in entries("role.update")} == {
        ("A", "{'is_active': False}"),
        ("B", "{'is_active': False}"),
    }
    assert len(entries("role.")) == 2


def test_an_agent_is_named_with_its_execution(user: User) -> None:
    execution_id = "01920000-0000-7000-8000-000000000001"
    agent = Actor(
        channel="agent",
        user_id=user.pk,
        user_name="ada",
        execution_id=execution_id,
        step_path="make",
        role_name="Maker",
    )
    with acting_as(agent):
        registry.save_role(ROLE, by=user)
    found = entry("role.create", execution_id=execution_id)
    assert (found.channel, found.step_path, found.role_name) == (
        "agent",
        "make",
        "Maker",
    )


# --- keys -------------------------------------------------------------------------


def test_keys_are_on_record_without_their_tokens(admin: Client, user: User) -> None:
    admin.post("/admin/roles/apikey/add/", {"user": user.pk, "name": "phone"})
    key = ApiKey.objects.get(name="phone")
    form = {"action": "revoke", "_selected_action": [str(key.pk)]}
    admin.post("/admin/roles/apikey/", form)
    admin.post("/admin/roles/apikey/", form)
    issued, revoked = entries("api_key.", object_id=str(key.pk))
    assert (issued.action, issued.channel) == ("api_key.issue", "admin")
    assert issued.after == {
        "user": "ada",
        "prefix": key.prefix,
        "allows_meta": False,
    }
    assert revoked.action == "api_key.revoke"
    assert revoked.before == {"revoked_at": None}
    assert key.digest not in whole_log()


def test_a_token_stands_nowhere(user: User) -> None:
    _, token = keys.issue(user, "phone")
    audit.record("note", after={"said": f"my key is {token}"}, detail="")
    assert token not in whole_log()
    assert token.rpartition("_")[2] not in whole_log()


def test_a_key_that_is_deleted_is_on_record(admin: Client, user: User) -> None:
    key, _ = keys.issue(user, "phone")
    admin.post(f"/admin/roles/apikey/{key.pk}/delete/", {"post": "yes"})
    assert not ApiKey.objects.filter(name="phone").exists()
    assert entry("api_key.delete").object_id == str(key.pk)


def test_a_credential_in_a_role_stands_nowhere(api: APIClient) -> None:
    config = {
        "method": "GET",
        "url": "https://weather.example/",
        "headers": {"Authorization": "Bearer s3cr3t"},
    }
    made = api.post(ROLES, {"name": "Asker", "kind": "http", "config": config})
    assert made.status_code == 201, made.json()
    config["headers"] = {"Authorization": "Bearer 0th3r"}
    api.patch(f"{ROLES}{made.json()['id']}/", {"config": config})
    assert len(entries("role.")) == 2
    assert "s3cr3t" not in whole_log()
    assert "0th3r" not in whole_log()


# --- orchestrations ---------------------------------------------------------------


@pytest.fixture
def saved(make_role: MakeRole, user: User) -> Orchestration:
    """Two steps of ada's, whose making is not in the log any more."""
    make_role()
    steps = [
        {"name": "First", "role_name": "Shouter"},
        {"name": "Second", "role_name": "Shouter", "retry_backoff": 2},
    ]
    made = drafts.save(document(steps=steps), by=user)
    AuditEntry.objects.all().delete()
    return made


def url_of(orchestration: Orchestration) -> str:
    return f"{ORCHESTRATIONS}{orchestration.pk}/"


def test_an_orchestration_that_is_made_is_on_record(
    api: APIClient, make_role: MakeRole
) -> None:
    make_role()
    made = api.post(ORCHESTRATIONS, document()).json()
    found = entry("orchestration.")
    assert (found.action, found.object_id) == ("orchestration.create", made["id"])
    assert found.before is None
    assert found.after is not None
    assert found.after["version"] == 1
    assert found.after["steps"]["shout"]["role_name"] == "Shouter"


def test_of_steps_that_are_changed_only_what_differs_is_kept(
    api: APIClient, saved: Orchestration
) -> None:
    steps = api.get(url_of(saved)).json()["steps"]
    steps[1]["max_retries"] = 3
    steps.append({"key": "third", "role_name": "Shouter"})
    answer = api.patch(url_of(saved), {"steps": steps})
    assert answer.status_code == 200, answer.json()
    found = entry("orchestration.")
    assert found.action == "orchestration.update"
    assert found.before == {
        "steps": {"second": {"max_retries": 0}, "third": None},
        "version": 1,
    }
    assert found.after is not None
    assert found.after["version"] == 2
    assert found.after["steps"]["second"] == {"max_retries": 3}
    assert found.after["steps"]["third"]["role_name"] == "Shouter"


def test_steps_in_a_body_and_after_a_failure_are_compared_too(
    make_role: MakeRole,
) -> None:
    make_role()
    inner: dict[str, Any] = {"key": "inner", "role_name": "Shouter"}
    loop = {"key": "rounds", "step_type": "loop", "config": {"max_iterations": 2}}
    plan = document(
        steps=[{**loop, "steps": [inner]}],
        on_failure=[{"key": "sorry", "role_name": "Shouter"}],
    )
    made = drafts.save(plan)
    AuditEntry.objects.all().delete()
    drafts.save(plan, orchestration=made)
    assert not entries("orchestration.")
    inner["max_retries"] = 1
    plan["on_failure"] = []
    drafts.save(plan, orchestration=made)
    found = entry("orchestration.")
    assert found.after == {
        "steps": {"inner": {"max_retries": 1}},
        "on_failure": {"sorry": None},
        "version": 2,
    }


def test_what_is_saved_as_it_was_is_no_change(
    api: APIClient, saved: Orchestration
) -> None:
    document = api.get(url_of(saved)).json()
    assert api.put(url_of(saved), document).status_code == 200
    assert not entries("orchestration.")


def test_an_edit_in_the_admin_is_compared_with_what_was_stored(
    admin: Client, root: User, saved: Orchestration
) -> None:
    steps = stored(saved, second={"retry_backoff": 2.0})
    form = page(*steps, name=saved.name, description="Loud")
    answer = admin.post(f"{PAGES}{saved.pk}/change/", form)
    assert answer.status_code == 302, answer.content.decode()[:3000]
    found = entry("orchestration.")
    assert (found.channel, found.user) == ("admin", root)
    assert found.after is not None
    assert found.after["description"] == "Loud"
    assert found.before is not None
    assert found.before["description"] == ""
    assert "steps" not in found.after


def test_a_draft_that_is_published_is_called_so(make_role: MakeRole) -> None:
    make_role()
    draft = drafts.save(document(), publish=False)
    drafts.save(document(), orchestration=draft)
    made, published = entries("orchestration.")
    assert made.action == "orchestration.create"
    assert published.action == "orchestration.publish"
    assert (published.before, published.after) == ({"version": None}, {"version": 1})


def test_an_orchestration_is_switched_on_record(
    admin: Client, api: APIClient, saved: Orchestration
) -> None:
    form = {"action": "deactivate", "_selected_action": [str(saved.pk)]}
    admin.post(PAGES, form)
    admin.post(PAGES, form)
    api.patch(url_of(saved), {"is_active": True})
    off, on = entries("orchestration.")
    assert (off.action, off.channel) == ("orchestration.deactivate", "admin")
    assert (off.before, off.after) == ({"is_active": True}, {"is_active": False})
    assert (on.action, on.channel) == ("orchestration.activate", "api")


def test_an_orchestration_is_archived_once(
    api: APIClient, saved: Orchestration
) -> None:
    assert api.delete(url_of(saved)).status_code == 204
    drafts.archive(saved, timezone.now())
    found = entry("orchestration.")
    assert found.action == "orchestration.archive"
    assert found.before == {"archived_at": None}


def test_a_definition_that_is_refused_leaves_nothing(
    api: APIClient, saved: Orchestration
) -> None:
    answer = api.patch(url_of(saved), {"steps": [{"key": "a", "role_name": "No"}]})
    assert answer.status_code == 400
    assert not entries("orchestration.")


def test_a_very_long_edit_leaves_a_short_entry(make_role: MakeRole) -> None:
    make_role()
    steps = [{"key": f"s{n}", "role_name": "Shouter"} for n in range(2_000)]
    made = drafts.save(document(steps=steps))
    drafts.save(
        document(steps=[{**each, "max_retries": 1} for each in steps]),
        orchestration=made,
    )
    for found in entries("orchestration."):
        assert found.after is not None
        assert len(str(found.before) + str(found.after)) < 60_000
        assert found.after["steps"]["…"].endswith("more")


# --- commands ---------------------------------------------------------------------


def test_a_command_is_given_by_the_account_it_runs_under(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "operator")
    call_command("create_api_key", "ada", stdout=io.StringIO(), stderr=io.StringIO())
    found = entry("api_key.issue")
    assert (found.channel, found.user, found.user_name) == (
        "command",
        None,
        "operator",
    )
    assert actor().channel == "system"


def test_old_entries_leave_and_that_is_an_entry() -> None:
    audit.record("old")
    audit.record("older")
    long_ago = timezone.now() - timedelta(days=40)
    AuditEntry.objects.filter(action__startswith="old").update(at=long_ago)
    audit.record("new")
    out = io.StringIO()
    call_command("prune_audit", "--days", "30", "--dry-run", stdout=out)
    assert "Would remove 2" in out.getvalue()
    assert len(entries()) == 3
    call_command("prune_audit", "--days", "30", stdout=out)
    new, pruned = entries()
    assert new.action == "new"
    assert (pruned.action, pruned.channel) == ("audit.prune", "command")
    assert pruned.after is not None
    assert pruned.after["removed"] == 2


@pytest.mark.parametrize("days", ["0", "-1", "nan", "many", "1e9"])
def test_an_age_that_makes_no_sense_removes_nothing(days: str) -> None:
    audit.record("new")
    with pytest.raises(CommandError, match="days"):
        call_command("prune_audit", f"--days={days}")
    assert len(entries()) == 1


def test_a_person_who_leaves_stays_in_the_log_by_name(user: User) -> None:
    with acting_as(Actor(channel="api", user_id=user.pk, user_name="ada")):
        audit.record("note")
    user.delete()
    assert (entry("note").user, entry("note").user_name) == (None, "ada")
