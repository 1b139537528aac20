"""Secrets at rest and on their way out: sealed, rotated, opened, filled, forgotten."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from roles.models import AuditEntry, LanguageModel, McpServer, Role, Secret
from roles.problems import InvalidDocument
from roles.registry import InvalidRole, patch_role, save_role
from roles.runners import Attempt, Result, RoleSpec, RunnerError, http, http_client
from roles.runners.http import HttpRunner
from roles.secrets import vault
from roles.secrets.opening import opened_role
from roles.secrets.redaction import NOTHING
from roles.secrets.usage import users_of
from tests.integration.statements import statements
from tests.unit.roles.http_server import running_server

pytestmark = pytest.mark.django_db

CANARY = "canary-of-the-vault-5Jq0"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    vault.forget()


def keep(name: str = "key", value: str = CANARY, **fields: Any) -> Secret:
    by = fields.pop("by", None)
    return vault.save_secret({"name": name, "value": value, **fields}, by=by)


def http_role(
    name: str = "web", reference: Any = None, **config: Any
) -> dict[str, Any]:
    headers = {"Authorization": reference or {"$secret": "key", "prefix": "Bearer "}}
    return {
        "name": name,
        "kind": "http",
        "config": {"url": "https://api.example/", "headers": headers, **config},
    }


async def sent(role: RoleSpec) -> Result:
    attempt = Attempt(
        execution_id="e",
        step_key="s",
        number=1,
        idempotency_key="k",
        deadline=datetime.now(UTC) + timedelta(seconds=10),
        logger=logging.getLogger("test"),
    )
    try:
        return await HttpRunner().run(role, None, attempt)
    finally:
        await http_client.close()


def rotate() -> str:
    out = io.StringIO()
    call_command("rotate_secrets", stdout=out)
    return out.getvalue()


def test_no_row_of_the_database_holds_the_value() -> None:
    secret = keep(description="for tests")
    vault.patch_secret(secret, {"value": CANARY + "2", "description": "changed"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(s)::text FROM roles_secret s")
        rows = cursor.fetchall()
        cursor.execute("SELECT to_jsonb(a)::text FROM roles_auditentry a")
        rows += cursor.fetchall()
    assert len(rows) == 3
    assert all(CANARY not in row for (row,) in rows)


def test_every_change_is_on_record_without_the_value() -> None:
    secret = keep()
    vault.patch_secret(secret, {"description": "d"})
    vault.patch_secret(secret, {"value": CANARY + "2"})
    vault.delete_secret(secret)
    entries = AuditEntry.objects.order_by("id")
    assert [(each.action, each.object_name, each.detail) for each in entries] == [
        ("secret.create", "key", ""),
        ("secret.update", "key", ""),
        ("secret.update", "key", "The value was replaced."),
        ("secret.delete", "key", ""),
    ]
    assert (entries[1].before, entries[1].after) == (
        {"description": ""},
        {"description": "d"},
    )


def test_rotating_leaves_only_the_newest_key_needed(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = [OLD]
    changed = {keep("a").updated_at, keep("b", CANARY + "2").updated_at}
    settings.CORE_ENCRYPTION_KEYS = [NEW, OLD]
    keep("c", CANARY + "3")
    assert "Encrypted 3 secrets" in rotate()
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    assert vault.opened(["a", "b", "c"]) == {
        "a": CANARY,
        "b": CANARY + "2",
        "c": CANARY + "3",
    }
    kept = Secret.objects.filter(name__in=["a", "b"])
    assert set(kept.values_list("updated_at", flat=True)) == changed


def test_rotating_replaces_the_key_that_was_made_up(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = []
    keep()
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    rotate()
    settings.SECRET_KEY = "another one"
    assert vault.opened(["key"]) == {"key": CANARY}


def test_rotating_names_what_no_key_opens_and_does_the_others(
    settings: Settings,
) -> None:
    settings.CORE_ENCRYPTION_KEYS = [OLD]
    keep("lost")
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    keep("well")
    before = Secret.objects.get(name="well").ciphertext
    with pytest.raises(CommandError, match="opens lost: put the key back"):
        rotate()
    assert Secret.objects.get(name="well").ciphertext != before


def test_many_are_opened_by_one_statement_and_remembered(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    keep("a")
    keep("b", CANARY + "2", allowed_hosts=["api.example"])
    with django_assert_num_queries(1):
        found = vault.opened(["a", "b"])
    assert found == {"a": CANARY, "b": CANARY + "2"}
    with django_assert_num_queries(0):
        assert vault.opened(["b"])["b"].hosts.has("api.example", 443)


def test_a_new_value_is_seen_at_once_where_it_was_saved() -> None:
    secret = keep()
    assert vault.opened(["key"]) == {"key": CANARY}
    vault.patch_secret(secret, {"value": CANARY + "2"})
    assert vault.opened(["key"]) == {"key": CANARY + "2"}
    vault.patch_secret(secret, {"name": "new"})
    with pytest.raises(vault.UnknownSecret):
        vault.opened(["key"])
    vault.delete_secret(Secret.objects.get())
    with pytest.raises(vault.UnknownSecret):
        vault.opened(["new"])


def test_what_was_read_is_forgotten_after_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep()
    vault.opened(["key"])
    Secret.objects.all().delete()
    assert vault.opened(["key"]) == {"key": CANARY}
    assert vault.REMEMBERED_S <= 5
    monkeypatch.setattr(vault, "REMEMBERED_S", 0)
    with pytest.raises(vault.UnknownSecret, match="There is no secret 'key'"):
        vault.opened(["key"])


def test_a_role_is_filled_and_what_it_brings_is_redacted() -> None:
    keep(allowed_hosts=["api.example"])
    role = Role(pk=None, **http_role()).spec()
    filled, redactor = opened_role(role)
    header = filled.config["headers"]["Authorization"]
    assert header == f"Bearer {CANARY}"
    assert header.hosts.has("api.example", 443)
    assert redactor.value({"echo": header}) == {"echo": "Bearer [secret:key]"}
    assert CANARY not in str(role)
    assert CANARY not in repr(filled)


def test_what_an_endpoint_echoes_is_redacted_in_every_spelling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(allowed_hosts=["127.0.0.1"])
    monkeypatch.setattr(http, "_configuration", http.Configuration())
    login = base64.b64encode(f"ada:{CANARY}".encode())
    with running_server() as server:
        http.configure(allowed_hosts=[f"127.0.0.1:{server.port}"])
        body = json.dumps({"key": CANARY, "q": f"?k={CANARY}", "login": login.decode()})
        server.says("/", body.encode(), Content_Type="application/json", X_Was=CANARY)
        document = http_role(url=server.url, method="POST", body={"$secret": "key"})
        role, redactor = opened_role(Role(**document).spec())
        result = asyncio.run(sent(role))
    assert server.seen[0].headers["authorization"] == f"Bearer {CANARY}"
    assert server.seen[0].body == CANARY.encode()
    output = redactor.value(result.output)
    assert output["body"]["key"] == output["headers"]["x-was"] == "[secret:key]"
    assert CANARY not in json.dumps(output)
    assert "[secret:key]" in output["body"]["login"]


def test_a_role_without_references_costs_no_statement() -> None:
    role = RoleSpec(
        id="1", name="r", kind="function", config={"function": "text.upper"}
    )
    with statements() as seen:
        assert opened_role(role) == (role, NOTHING)
        assert opened_role(role)[0] is role
    assert seen == []


def test_a_role_that_names_what_is_gone_fails_for_good() -> None:
    with pytest.raises(RunnerError, match=r"'web' names the secret 'key'") as caught:
        opened_role(Role(**http_role()).spec())
    assert (caught.value.type, caught.value.retryable) == ("secret_unknown", False)


def test_a_role_whose_secret_no_key_opens_fails_for_good(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = [OLD]
    keep()
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(RunnerError, match="CORE_ENCRYPTION_KEYS") as caught:
        opened_role(Role(**http_role()).spec())
    assert (caught.value.type, caught.value.retryable) == ("secret_unreadable", False)


def test_whoever_names_a_secret_keeps_it() -> None:
    secret = keep()
    keep("other")
    web = Role.objects.create(**http_role())
    Role.objects.create(**http_role("by the way", {"$secret": "other"}))
    Role.objects.create(name="talk", kind="agent", base_prompt='{"$secret": "key"}')
    deep = {"a": [[{"b": {"$secret": "key"}}]]}
    server = McpServer.objects.create(name="tools", url="https://x/", headers=deep)
    local = McpServer.objects.create(name="local", command=["x"], environment=deep)
    model = LanguageModel.objects.create(name="p:m", credential="key")
    with pytest.raises(vault.SecretInUse, match="role 'web'") as caught:
        vault.delete_secret(secret)
    assert [(each.kind, each.id) for each in caught.value.users] == [
        ("role", str(web.pk)),
        ("mcp_server", str(local.pk)),
        ("mcp_server", str(server.pk)),
        ("language_model", str(model.pk)),
    ]
    with pytest.raises(vault.SecretInUse):
        vault.patch_secret(secret, {"name": "renamed"})
    assert vault.patch_secret(secret, {"description": "d"}).name == "key"
    for user in (web, local, server, model):
        user.delete()
    vault.delete_secret(secret)
    assert users_of("key") == []


def test_others_secrets_cannot_be_named_nor_told_from_none(
    user: User, other: User, staff: User
) -> None:
    keep(by=other)
    for name in ("key", "nothing"):
        with pytest.raises(InvalidRole) as caught:
            save_role(http_role(reference={"$secret": name}), by=user)
        (problem,) = caught.value.problems
        assert problem.pointer == "/config/headers/Authorization"
        assert problem.code == "unknown_secret"
        assert problem.detail == f"There is no secret '{name}'."
    assert save_role(http_role("his"), by=other)
    assert save_role(http_role("theirs"), by=staff)
    assert save_role(http_role("seeded"))
    vault.may_name(other, ["key"])
    with pytest.raises(vault.UnknownSecret):
        vault.may_name(user, ["key"])


def test_a_shared_secret_may_be_named_by_all(user: User) -> None:
    keep()
    assert save_role(http_role(), by=user)


def test_a_secret_that_staff_put_there_stays_and_goes_nowhere_else(
    user: User, staff: User
) -> None:
    keep(by=staff)
    role = Role.objects.create(created_by=user, **http_role())
    assert patch_role(role, {"description": "mine"}, by=user).description == "mine"
    elsewhere = {**http_role()["config"], "url": "https://evil.example/"}
    for change in ({"config": elsewhere}, {"config": elsewhere, "name": "b"}):
        with pytest.raises(InvalidRole):
            patch_role(role, change, by=user)
    assert Role.objects.get().config["url"] == "https://api.example/"


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"$secret": "key"}, "/config"),
        ({"url": {"$secret": 1}}, "/config/url"),
        ({"url": "https://x.example/", "query": {"$secret": "key"}}, "/config/query"),
    ],
)
def test_a_reference_where_none_can_stand_is_refused(config: Any, pointer: str) -> None:
    keep()
    with pytest.raises(InvalidRole) as caught:
        save_role({"name": "web", "kind": "http", "config": config})
    assert [each.pointer for each in caught.value.problems][:1] == [pointer]


def test_the_constraints_of_a_model_hold_no_secret() -> None:
    keep()
    role = {
        "name": "a",
        "kind": "agent",
        "model_constraints": {"m": {"$secret": "key"}},
    }
    with pytest.raises(InvalidRole) as caught:
        save_role(role)
    assert caught.value.problems[0].pointer == "/model_constraints/m"


def test_a_credential_in_plain_text_is_still_taken(user: User) -> None:
    assert save_role(http_role(reference="Bearer plain"), by=user)


@pytest.mark.parametrize("value", ["", "       x       ", "1234567", None, 12345678])
def test_a_value_too_short_to_be_redacted_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDocument):
        keep(value=value)
    secret = keep()
    with pytest.raises(InvalidDocument):
        vault.patch_secret(secret, {"value": value})
    assert vault.opened(["key"]) == {"key": CANARY}
