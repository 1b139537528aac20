"""MCP servers over REST: registered, judged, checked, and kept while they are used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from roles.models import AuditEntry, McpServer, Role
from roles.secrets import vault
from tests.integration import answers
from tests.unit.roles.test_servers_sessions import SCRIPT

pytestmark = pytest.mark.django_db
MakeRole = Callable[..., Role]
PATH = "/api/v1/mcp-servers/"
REMOTE = {"name": "files", "url": "https://files.example/mcp", "allowed_tools": ["*"]}
COMMAND = {"name": "files", "command": [sys.executable, str(SCRIPT)]}


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    return answers.problem_of(answer)


def made(api: APIClient, **fields: Any) -> dict[str, Any]:
    answer = api.post(PATH, {**REMOTE, **fields})
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def pointers(answer: Any) -> set[tuple[str, str]]:
    assert answer.status_code == 400, answer.content
    return {(each["pointer"], each["code"]) for each in answer.json()["errors"]}


def test_a_server_is_registered_and_on_record(api: APIClient, user: User) -> None:
    found = made(api)
    assert found["timeout_ms"] == 30_000
    server = McpServer.objects.get()
    assert server.created_by == user
    assert api.get(f"{PATH}{server.pk}/").json() == found
    entry = AuditEntry.objects.get(action="mcp_server.create")
    assert (entry.object_id, entry.user) == (str(server.pk), user)
    assert entry.after is not None
    assert entry.after["url"] == REMOTE["url"]


def test_every_problem_is_named_at_once(api: APIClient) -> None:
    wrong = {
        "name": "a/b",
        "url": "ftp://files.example",
        "command": [""],
        "headers": {"Bad header": "x", "X": {"$secret": 5}, "Y": 3},
        "environment": {"1": "x", "LD_PRELOAD": "x"},
        "allowed_tools": [1, ""],
        "approved_tools": "all",
        "timeout_ms": 0,
        "is_active": "yes",
        "colour": "red",
    }
    assert pointers(api.post(PATH, wrong)) == {
        ("/name", "invalid_name"),
        ("/url", "invalid_url"),
        ("/command/0", "blank"),
        ("/headers/Bad header", "invalid"),
        ("/headers/X", "invalid_secret"),
        ("/headers/Y", "wrong_type"),
        ("/environment/1", "invalid"),
        ("/environment/LD_PRELOAD", "invalid"),
        ("/allowed_tools/0", "wrong_type"),
        ("/approved_tools", "wrong_type"),
        ("/timeout_ms", "out_of_range"),
        ("/is_active", "wrong_type"),
        ("/colour", "unknown_field"),
    }


@pytest.mark.parametrize("body", [[], "x", None, {}, {"name": 5}])
def test_what_is_no_server_is_refused(api: APIClient, body: Any) -> None:
    assert pointers(api.post(PATH, body, format="json"))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": ""}, "url_or_command"),
        ({"command": ["x"]}, "url_or_command"),
        ({"environment": {"A": "b"}}, "no_command"),
        ({"url": "", "command": ["x"], "headers": {"A": "b"}}, "no_url"),
    ],
)
def test_a_server_is_reached_in_one_way(
    staff_api: APIClient, fields: dict[str, Any], code: str
) -> None:
    answer = staff_api.post(PATH, {**REMOTE, **fields})
    assert {each for _, each in pointers(answer)} == {code}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/mcp",
        "http://[::ffff:10.0.0.1]/mcp",
        "http://169.254.169.254/latest",
        "http://localhost:8000/",
        "http://user:pass@files.example/",
        "https://files.example/#part",
    ],
)
def test_addresses_that_are_not_to_be_called_are_refused(
    api: APIClient, url: str
) -> None:
    (pointer, _), *_ = pointers(api.post(PATH, {**REMOTE, "url": url}))
    assert pointer == "/url"


def test_a_private_address_may_be_allowed(api: APIClient, settings: Any) -> None:
    settings.CORE_HTTP_ALLOWED_HOSTS = ["127.0.0.1:8000"]
    made(api, url="http://127.0.0.1:8000/mcp")


def test_only_staff_save_a_command(api: APIClient, staff_api: APIClient) -> None:
    problem = problem_of(api.post(PATH, COMMAND), 403)
    assert problem["code"] == "command_forbidden"
    assert not McpServer.objects.exists()
    assert staff_api.post(PATH, COMMAND).status_code == 201


def test_nobody_slips_a_command_in_later(api: APIClient, user: User) -> None:
    path = f"{PATH}{made(api)['id']}/"
    answer = api.patch(path, {"url": "", "command": ["x"]})
    assert problem_of(answer, 403)["code"] == "command_forbidden"
    McpServer.objects.update(url="", command=["x"], created_by=user)
    answer = api.patch(path, {"environment": {"PATH": "/tmp"}})  # noqa: S108
    assert problem_of(answer, 403)["code"] == "command_forbidden"


def test_a_name_is_taken_once(api: APIClient, other_api: APIClient) -> None:
    made(api)
    assert pointers(other_api.post(PATH, REMOTE)) == {("/name", "name_taken")}


def test_a_secret_of_somebody_else_cannot_be_named(api: APIClient, other: User) -> None:
    vault.save_secret({"name": "theirs", "value": "s3cr3t-value"}, by=other)
    headers = {"Authorization": {"$secret": "theirs"}}
    answer = api.post(PATH, {**REMOTE, "headers": headers})
    assert pointers(answer) == {("/headers/Authorization", "unknown_secret")}


def test_a_secret_that_somebody_else_put_there_goes_nowhere_else(
    api: APIClient, user: User, other: User
) -> None:
    vault.save_secret({"name": "theirs", "value": "s3cr3t-value"}, by=other)
    path = f"{PATH}{made(api)['id']}/"
    McpServer.objects.update(headers={"Authorization": {"$secret": "theirs"}})
    assert api.patch(path, {"description": "Ours."}).status_code == 200
    answer = api.patch(path, {"url": "https://evil.example/mcp"})
    assert pointers(answer) == {("/headers/Authorization", "unknown_secret")}


def test_servers_of_others_do_not_exist(
    api: APIClient, other_api: APIClient, staff_api: APIClient
) -> None:
    path = f"{PATH}{made(api)['id']}/"
    for answer in (
        other_api.get(path),
        other_api.patch(path, {"description": "x"}),
        other_api.delete(path),
        other_api.post(f"{path}check/"),
    ):
        problem_of(answer, 404)
    assert staff_api.get(path).status_code == 200


def test_a_shared_server_is_seen_and_not_touched(api: APIClient) -> None:
    path = f"{PATH}{made(api)['id']}/"
    McpServer.objects.update(created_by=None)
    assert api.get(path).status_code == 200
    problem_of(api.patch(path, {"description": "x"}), 403)
    problem_of(api.post(f"{path}check/"), 403)


def test_a_server_in_use_stays_and_keeps_its_name(
    api: APIClient, make_role: MakeRole
) -> None:
    path = f"{PATH}{made(api)['id']}/"
    role = make_role("Clerk", tools=["mcp:files"])
    for answer in (api.delete(path), api.patch(path, {"name": "other"})):
        problem = problem_of(answer, 409)
        assert problem["code"] == "mcp_server_in_use"
        assert problem["users"] == [
            {"kind": "role", "id": str(role.pk), "name": "Clerk"}
        ]
    role.delete()
    assert api.delete(path).status_code == 204
    entry = AuditEntry.objects.get(action="mcp_server.delete")
    assert entry.object_name == "files"


def test_a_change_that_comes_too_late_is_refused(api: APIClient) -> None:
    path = f"{PATH}{made(api)['id']}/"
    answer = api.patch(path, {"description": "x"}, headers={"If-Match": '"old"'})
    problem_of(answer, 412)


def test_a_check_lists_the_tools_of_now(staff_api: APIClient) -> None:
    fields = {"allowed_tools": ["shout", "gone"], "approved_tools": ["shout"]}
    path = staff_api.post(PATH, {**COMMAND, **fields}).headers["Location"]
    found = staff_api.post(f"{path}check/").json()
    shout = next(tool for tool in found["tools"] if tool["name"] == "shout")
    count = next(tool for tool in found["tools"] if tool["name"] == "count")
    assert shout["is_allowed"] is shout["needs_approval"] is True
    assert count["is_allowed"] is count["needs_approval"] is False
    assert (found["is_complete"], found["missing"]) == (True, ["gone"])


def test_a_check_of_a_server_that_is_down_says_so(staff_api: APIClient) -> None:
    body = {"name": "files", "command": ["no-such-program"]}
    path = staff_api.post(PATH, body).headers["Location"]
    problem = problem_of(staff_api.post(f"{path}check/"), 502)
    assert problem["code"] == "mcp_server_unreachable"
    assert "no-such-program" in problem["detail"]
