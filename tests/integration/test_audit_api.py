"""The audit log as people read it: whose entries, narrowed, page by page, in the admin."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.db import connection, connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils import timezone
from rest_framework.test import APIClient

from config.middleware import ActorMiddleware
from executions.models import Execution
from roles import audit, keys
from roles.acting import Actor, acting_as, actor
from roles.audit.visibility import visible_to
from roles.models import AuditEntry, Role
from tests.integration.answers import errors_of, problem_of
from tests.integration.auditing import entries
from tests.integration.engine import launched, role, step

pytestmark = pytest.mark.django_db

AUDIT = "/api/v1/audit/"
ROLES = "/api/v1/roles/"
PAGES = "/admin/roles/auditentry/"
MakeRole = Callable[..., Role]


def note(action: str, *, by: User | None = None, of: Any = None, **more: Any) -> None:
    """Leave an entry by a person, or by a step of an execution."""
    who = Actor(
        channel="agent" if of else "api",
        user_id=by.pk if by else None,
        user_name=by.get_username() if by else "",
        execution_id=str(of) if of else None,
        step_path="make" if of else "",
    )
    with acting_as(who):
        audit.record(action, **more)


def actions(client: APIClient, **query: str) -> list[str]:
    answer = client.get(AUDIT, {"page_size": "200", **query})
    assert answer.status_code == 200, answer.json()
    told = [each["action"] for each in answer.json()["results"]]
    return [each for each in told if each != "api_key.issue"]


# --- who reads what ---------------------------------------------------------------


def test_an_entry_says_who_did_what_to_what(api: APIClient, user: User) -> None:
    made = api.post(
        ROLES,
        {"name": "R", "kind": "function", "config": {"function": "text.upper"}},
    ).json()
    found = api.get(AUDIT, {"action": "role."}).json()["results"][0]
    assert found["action"] == "role.create"
    assert found["outcome"] == "done"
    assert found["by"] == {
        "channel": "api",
        "user_id": user.pk,
        "user_name": "ada",
        "api_key_id": str(user.api_keys.get().pk),
        "execution_id": None,
        "step_path": "",
        "role_name": "",
    }
    assert found["object"] == {"type": "role", "id": made["id"], "name": "R"}
    assert found["before"] is None
    assert found["after"]["config"] == {"function": "text.upper"}
    assert api.get(f"{AUDIT}{found['id']}/").json() == found


def test_strangers_read_nothing(anonymous: APIClient) -> None:
    audit.record("note")
    assert anonymous.get(AUDIT).status_code == 401


def test_everybody_reads_what_they_did_and_staff_everything(
    api: APIClient, staff_api: APIClient, user: User, other: User
) -> None:
    note("mine", by=user)
    note("theirs", by=other)
    note("nobody.s")
    assert actions(api) == ["mine"]
    assert actions(staff_api) == ["nobody.s", "theirs", "mine"]
    hidden = AuditEntry.objects.get(action="theirs")
    assert api.get(f"{AUDIT}{hidden.pk}/").status_code == 404


def test_an_owner_reads_what_steps_of_an_execution_did(
    api: APIClient, other_api: APIClient, user: User
) -> None:
    execution = launched(step("a", role()))
    Execution.objects.filter(pk=execution.pk).update(created_by=user)
    note("by.step", of=execution.pk)
    note("by.lost", of=uuid4())
    note("both", by=user, of=execution.pk)
    assert actions(api) == ["both", "by.step"]
    assert actions(other_api) == []


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
def test_nobody_writes_in_the_log(staff_api: APIClient, verb: str) -> None:
    audit.record("note")
    pk = AuditEntry.objects.get(action="note").pk
    for place in (AUDIT, f"{AUDIT}{pk}/"):
        assert getattr(staff_api, verb)(place, {}).status_code == 405
    assert AuditEntry.objects.get(pk=pk).action == "note"


@pytest.mark.parametrize("pk", ["0", "9" * 18, "9" * 30, "x", "-1"])
def test_an_entry_that_is_not_there_is_not_found(staff_api: APIClient, pk: str) -> None:
    assert staff_api.get(f"{AUDIT}{pk}/").status_code == 404


# --- narrowed ---------------------------------------------------------------------


def test_a_list_is_narrowed(staff_api: APIClient, user: User, other: User) -> None:
    execution_id = uuid4()
    note("role.create", by=user, object_type="role", object_id="1")
    note("role.delete", by=other, object_type="role", object_id="2")
    note("tool.call", of=execution_id)
    audit.refused("tool.call.no", detail="You may not.")
    with acting_as(Actor(channel="command", user_name="ada")):
        audit.record("by.hand")
    for query, expected in (
        ({"action": "role."}, ["role.delete", "role.create"]),
        ({"action": "%"}, []),
        ({"object_type": "role", "object_id": "2"}, ["role.delete"]),
        ({"user": "ada"}, ["by.hand", "role.create"]),
        ({"user": "nobody"}, []),
        ({"execution_id": str(execution_id)}, ["tool.call"]),
        ({"channel": "agent"}, ["tool.call"]),
        ({"outcome": "refused"}, ["tool.call.no"]),
    ):
        assert actions(staff_api, **query) == expected, query


def test_a_list_is_narrowed_by_time(staff_api: APIClient) -> None:
    for days, action in enumerate(("today", "yesterday", "before")):
        audit.record(action)
        at = timezone.now() - timedelta(days=days)
        AuditEntry.objects.filter(action=action).update(at=at)
    yesterday = (timezone.now() - timedelta(hours=30)).isoformat()
    today = (timezone.now() - timedelta(hours=12)).isoformat()
    assert actions(staff_api, after=yesterday, before=today) == ["yesterday"]
    assert actions(staff_api, before=yesterday) == ["before"]


@pytest.mark.parametrize(
    "query",
    [
        {"outcome": "maybe"},
        {"execution_id": "x"},
        {"after": "soon"},
        {"api_key_id": "1"},
        {"action": "a\0"},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    staff_api: APIClient, query: dict[str, str]
) -> None:
    answer = staff_api.get(AUDIT, query)
    assert answer.status_code == 400
    assert errors_of(answer)


def test_pages_stay_right_while_entries_come(staff_api: APIClient) -> None:
    for number in range(5):
        audit.record(f"n{number}")
    first = staff_api.get(AUDIT, {"page_size": "2", "action": "n"}).json()
    audit.record("n5")
    second = staff_api.get(first["next"]).json()
    told = [each["action"] for each in first["results"] + second["results"]]
    assert told == ["n4", "n3", "n2", "n1"]


@pytest.mark.parametrize("position", ["x", "1.5", "9" * 40, "٣"])
def test_a_forged_cursor_is_refused(staff_api: APIClient, position: str) -> None:
    cursor = b64encode(urlencode({"p": position}).encode()).decode()
    answer = staff_api.get(AUDIT, {"cursor": cursor})
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


def test_a_list_takes_the_same_queries_however_long(
    api: APIClient, user: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        note("mine", by=user)
    with django_assert_max_num_queries(3):
        assert len(actions(api)) == 20


def test_what_somebody_reads_is_found_by_indexes(user: User) -> None:
    rows = visible_to(user).order_by("-id")[:51]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = rows.explain()
    assert "audit_by_user" in plan
    assert "audit_by_execution" in plan
    assert "Seq Scan on roles_auditentry" not in plan


# --- the admin --------------------------------------------------------------------


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_the_admin_shows_an_entry_and_changes_none(
    admin: Client, make_role: MakeRole
) -> None:
    evil = "<script>alert(1)</script>"
    note("role.update", before={"a": evil}, after={"a": "é"}, object_name=evil)
    found = AuditEntry.objects.get(action="role.update")
    listed = admin.get(PAGES).content.decode()
    assert "role.update" in listed
    page = admin.get(f"{PAGES}{found.pk}/change/").content.decode()
    assert "&quot;a&quot;: &quot;é&quot;" in page
    assert evil not in listed + page
    assert admin.get(f"{PAGES}add/").status_code == 403
    assert admin.post(f"{PAGES}{found.pk}/change/", {"action": "x"}).status_code == 403
    assert admin.post(f"{PAGES}{found.pk}/delete/", {"post": "y"}).status_code == 403
    admin.post(PAGES, {"action": "delete_selected", "_selected_action": [found.pk]})
    assert AuditEntry.objects.get(pk=found.pk).action == "role.update"


@pytest.mark.parametrize("text", ["ada", "x y", "1", str(uuid4()), "é\\"])
def test_the_admin_searches(admin: Client, text: str) -> None:
    assert admin.get(PAGES, {"q": text}).status_code == 200


def test_the_admin_finds_and_narrows(admin: Client, user: User) -> None:
    execution_id = uuid4()
    note("role.create", by=user, object_name="Shouter")
    note("tool.call", of=execution_id)
    audit.refused("tool.call", detail="No.", object_name="refused-tool")
    for query, shown, hidden in (
        ({"q": "Shouter"}, "role.create", "tool.call"),
        ({"q": str(execution_id)}, "tool.call", "role.create"),
        ({"about": "role."}, "Shouter", "refused-tool"),
        ({"outcome": "refused"}, "refused-tool", "Shouter"),
        ({"channel": "api"}, "Shouter", "refused-tool"),
    ):
        listed = admin.get(PAGES, query).content.decode().partition("result_list")[2]
        assert (shown in listed, hidden in listed) == (True, False), query


def test_staff_without_the_right_see_no_log(client: Client) -> None:
    eve = User.objects.create(username="eve", is_staff=True)
    client.force_login(eve)
    assert client.get(PAGES).status_code == 403
    eve.user_permissions.set(Permission.objects.filter(codename="view_auditentry"))
    assert client.get(PAGES).status_code == 200


def test_the_admins_list_takes_the_same_queries_however_long(
    admin: Client, user: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        note("mine", by=user)
    with django_assert_max_num_queries(5):
        admin.get(PAGES)


# --- one after the other, and at once ---------------------------------------------


def test_nobody_acts_any_more_after_a_request(api: APIClient) -> None:
    api.get(AUDIT)
    assert actor() == Actor()


def test_a_request_that_fails_leaves_nobody_behind(user: User) -> None:
    def failing(request: Any) -> HttpResponse:
        assert actor().user_name == "ada"
        raise RuntimeError

    request = RequestFactory().post("/api/v1/roles/")
    request.user = user
    with pytest.raises(RuntimeError):
        ActorMiddleware(failing)(request)
    assert actor() == Actor()


@pytest.mark.django_db(transaction=True)
def test_requests_in_threads_keep_their_actors_apart(user: User, other: User) -> None:
    tokens = {person: keys.issue(person, "x")[1] for person in (user, other)}
    together = Barrier(8)

    def make(number: int, person: User) -> int:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens[person]}")
        together.wait()
        try:
            return client.post(ROLES, document(number, person)).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        people = [user, other] * 4
        assert set(pool.map(make, range(8), people)) == {201}
    check_each_made_their_own(user, other)


@pytest.mark.django_db(transaction=True)
def test_requests_in_an_event_loop_keep_their_actors_apart(
    user: User, other: User
) -> None:
    tokens = {person: keys.issue(person, "x")[1] for person in (user, other)}

    async def make(number: int, person: User) -> int:
        answer = await AsyncClient().post(
            ROLES,
            document(number, person),
            content_type="application/json",
            headers={"Authorization": f"Bearer {tokens[person]}"},
        )
        return int(answer.status_code)

    async def story() -> set[int]:
        people = [user, other] * 4
        came = await asyncio.gather(*map(make, range(8), people))
        assert actor() == Actor()
        await sync_to_async(connections.close_all)()
        return set(came)

    assert asyncio.run(story()) == {201}
    check_each_made_their_own(user, other)


def document(number: int, person: User) -> dict[str, Any]:
    name = f"{person.get_username()} {number}"
    config = {"function": "text.upper"}
    return {"name": name, "kind": "function", "config": config}


def check_each_made_their_own(*people: User) -> None:
    made = entries("role.create")
    assert len(made) == 4 * len(people)
    for each in made:
        assert each.object_name.startswith(each.user_name)
        assert each.user is not None
        assert each.user.get_username() == each.user_name
