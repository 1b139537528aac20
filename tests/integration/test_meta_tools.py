"""The meta-tools: roles, orchestrations and executions made by agents, without a model."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from core_orchestration.models import Orchestration
from executions.models import Execution
from roles.models import AuditEntry, Role
from roles.toolkit import Caller, ToolRefused
from tests.integration.calling import agent, call, codes, person, refusal, working
from tests.integration.engine import at_once

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "threads_keep_no_connection"),
]

SHOUTER = {"name": "Shouter", "kind": "function", "config": {"function": "text.upper"}}
STEPS = [{"key": "shout", "name": "Shout", "role_name": "Shouter"}]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def shouter(ada: User) -> Role:
    return Role.objects.create(**SHOUTER, created_by=ada)


# --- the whole story ----------------------------------------------------------------


def test_an_agent_builds_a_pipeline_runs_it_and_takes_it_away(ada: User) -> None:
    home = working(ada)
    who = agent(ada, home)
    for name in ("Planner", "Coder"):
        prompt = f"You are a {name}."
        made = call(
            "system.create_role", who, name=name, kind="agent", base_prompt=prompt
        )
        assert made["id"]
    pipeline = call(
        "system.create_orchestration",
        agent(ada, home),
        name="Code Review Pipeline",
        tags=["code"],
        steps=[
            {"key": "plan", "name": "Plan", "role_name": "Planner"},
            {
                "key": "code",
                "name": "Code",
                "role_name": "Coder",
                "input_mapping": {"plan": "{{ context.plan }}"},
            },
            {
                "key": "review",
                "name": "Review",
                "role_name": "Planner",
                "input_mapping": {"code": "{{ context.code }}"},
            },
        ],
        output={"review": "{{ context.review }}"},
    )
    assert pipeline["version"] == 1

    listed = call("system.list_orchestrations", who, tags=["code"])
    assert [each["name"] for each in listed["orchestrations"]] == [pipeline["name"]]
    read = call("system.get_orchestration", who, name=pipeline["name"])
    assert [step["key"] for step in read["steps"]] == ["plan", "code", "review"]
    changed = call(
        "system.update_orchestration",
        agent(ada, home),
        id=pipeline["id"],
        changes={"description": "Three steps."},
    )
    assert (changed["description"], changed["version"]) == ("Three steps.", 1)

    used = refusal("system.delete_role", agent(ada, home), name="Coder")
    assert used.code == "role_in_use"
    assert "Code Review Pipeline" in used.detail

    begun = call(
        "system.execute_orchestration",
        agent(ada, home),
        id=pipeline["id"],
        input={"n": 1},
    )
    assert begun["status"] == "pending"
    child = Execution.objects.get(pk=begun["execution_id"])
    assert child.parent_execution_id == home.pk
    assert (child.parent_path, child.awaited, child.depth) == ("a", False, 1)
    assert child.created_by == ada
    status = call("system.get_execution_status", who, id=begun["execution_id"])
    assert status["status"] == "pending"
    assert status["parent_execution_id"] == str(home.pk)
    mine = call("system.list_executions", who, orchestration=pipeline["name"])
    assert [each["execution_id"] for each in mine["executions"]] == [str(child.pk)]

    gone = call("system.delete_orchestration", agent(ada, home), name=pipeline["name"])
    assert gone["deleted"]
    call("system.delete_role", agent(ada, home), name="Coder")
    assert not Role.objects.filter(name="Coder").exists()
    json.dumps([pipeline, listed, read, changed, begun, status, mine, gone])


# --- provenance ---------------------------------------------------------------------


def test_everything_that_an_agent_makes_says_so(ada: User) -> None:
    home = working(ada)
    made_by = {"execution_id": str(home.pk), "step_path": "a", "role_name": "Builder"}
    role = call("system.create_role", agent(ada, home), **SHOUTER)
    flow = call(
        "system.create_orchestration", agent(ada, home), name="Flow", steps=STEPS
    )
    run = call("system.execute_orchestration", agent(ada, home), name="Flow")
    assert role["provenance"] == flow["provenance"] == made_by
    assert Role.objects.get(name="Shouter").created_by == ada
    kept = Orchestration.objects.get(pk=flow["id"])
    assert kept.created_by == ada
    assert kept.provenance is not None
    assert kept.provenance["call_key"]
    origin = Execution.objects.get(pk=run["execution_id"]).origin
    assert origin == {"kind": "agent", **made_by}


def test_what_a_person_makes_has_none(ada: User) -> None:
    assert call("system.create_role", person(ada), **SHOUTER)["provenance"] is None
    flow = call("system.create_orchestration", person(ada), name="Flow", steps=STEPS)
    assert flow["provenance"] is None
    run = call("system.execute_orchestration", person(ada), name="Flow")
    started = Execution.objects.get(pk=run["execution_id"])
    assert (started.origin, started.parent_execution_id) == (None, None)


def test_provenance_cannot_be_claimed(ada: User) -> None:
    claimed = {"execution_id": "x", "step_path": "", "role_name": "Somebody"}
    made = call("system.create_role", person(ada), **SHOUTER, provenance=claimed)
    assert made["provenance"] is None


def test_an_execution_spends_for_its_parents_api_key(ada: User, shouter: Role) -> None:
    key = uuid4()
    home = working(ada, api_key_id=key)
    who = agent(ada, home)
    call("system.create_orchestration", who, name="Flow", steps=STEPS)
    run = call("system.execute_orchestration", agent(ada, home), name="Flow")
    assert Execution.objects.get(pk=run["execution_id"]).api_key_id == key


# --- a call that is repeated --------------------------------------------------------


def test_a_repeated_call_finds_what_it_made(ada: User) -> None:
    who = agent(ada, call_key="one", max_roles=1, max_orchestrations=1)
    role = call("system.create_role", who, **SHOUTER)
    assert call("system.create_role", who, **SHOUTER) == role
    flow = call("system.create_orchestration", who, name="Flow", steps=STEPS)
    again = call("system.create_orchestration", who, name="Flow", steps=STEPS)
    assert again == flow
    run = call("system.execute_orchestration", who, name="Flow")
    assert call("system.execute_orchestration", who, name="Flow") == run


def test_another_call_finds_the_name_taken(ada: User) -> None:
    home = working(ada)
    call("system.create_role", agent(ada, home, call_key="one"), **SHOUTER)
    taken = refusal("system.create_role", agent(ada, home, call_key="two"), **SHOUTER)
    assert (taken.code, codes(taken)) == ("invalid", {"/name": "name_taken"})


def test_the_same_call_with_another_input_is_refused(ada: User, shouter: Role) -> None:
    home = working(ada)
    call("system.create_orchestration", agent(ada, home), name="Flow", steps=STEPS)
    who = agent(ada, home, call_key="x" * 400)
    call("system.execute_orchestration", who, name="Flow", input={"n": 1})
    other = refusal("system.execute_orchestration", who, name="Flow", input={"n": 2})
    assert other.code == "idempotency_key_reused"


def test_calls_that_come_at_once_stay_within_the_count(ada: User) -> None:
    home = working(ada)

    def make(n: int) -> str:
        named = {**SHOUTER, "name": f"R{n}"}
        try:
            call("system.create_role", agent(ada, home, max_roles=3), **named)
        except ToolRefused as refused:
            return refused.code
        return "made"

    done = [str(each) for each in at_once(*(partial(make, n) for n in range(6)))]
    assert sorted(done) == ["limit_reached"] * 3 + ["made"] * 3
    assert Role.objects.filter(provenance__execution_id=str(home.pk)).count() == 3


# --- refusals -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["system.create_role", "system_create_role"])
def test_without_meta_a_guessed_name_is_refused_and_on_record(
    ada: User, name: str
) -> None:
    who = agent(ada)
    refused = refusal(name, who, grants=["function:text.upper"], **SHOUTER)
    assert refused.code == "tool_not_granted"
    entry = AuditEntry.objects.filter(outcome="refused").latest("id")
    assert (entry.object_name, entry.channel) == (name, "agent")
    assert str(entry.execution_id) == who.actor.execution_id
    assert not Role.objects.filter(name="Shouter").exists()


@pytest.mark.parametrize("name", ["system.create_rol", "system.drop_all", "", "meta"])
def test_a_tool_that_is_not_there_is_refused(ada: User, name: str) -> None:
    assert refusal(name, agent(ada)).code == "tool_not_granted"


def test_a_done_call_is_on_record(ada: User) -> None:
    call("system.create_role", agent(ada), **SHOUTER)
    entry = AuditEntry.objects.get(action="tool.call")
    assert (entry.outcome, entry.object_name) == ("done", "system.create_role")


def test_a_wrong_role_is_refused_with_all_that_rest_says(ada: User) -> None:
    wrong = {"name": " ", "kind": "functoin", "tools": ["nothing"], "base_promt": ""}
    refused = refusal("system.create_role", agent(ada), **wrong)
    assert refused.code == "invalid"
    assert codes(refused) == {
        "/name": "blank",
        "/kind": "unknown_kind",
        "/tools/0": "unknown_tool",
        "/base_promt": "unknown_field",
    }


def test_a_role_without_anything_is_refused(ada: User) -> None:
    assert codes(refusal("system.create_role", agent(ada))) == {"": "required"}


def test_a_wrong_orchestration_is_refused_with_all_that_rest_says(
    ada: User, shouter: Role
) -> None:
    refused = refusal(
        "system.create_orchestration",
        agent(ada),
        name="Flow",
        steps=[
            {"name": "A", "role_name": "Shoter"},
            {"name": "B", "role_name": "Shouter", "input_mapping": "{{ context.c }}"},
        ],
        timeout_ms="soon",
    )
    assert refused.code == "invalid"
    assert set(codes(refused)) >= {
        "/steps/0/role_name",
        "/steps/1/input_mapping",
        "/timeout_ms",
    }
    assert any("Did you mean 'Shouter'?" in each.detail for each in refused.problems)


def test_a_wrong_change_is_named_below_changes(ada: User, shouter: Role) -> None:
    refused = refusal(
        "system.update_role", person(ada), name="Shouter", changes={"config": {}}
    )
    assert codes(refused) == {"/changes/config/function": "invalid"}


def test_the_names_of_strangers_are_taken_and_their_roles_unknown(
    ada: User, bob: User, shouter: Role
) -> None:
    taken = refusal("system.create_role", agent(bob), **SHOUTER)
    assert codes(taken) == {"/name": "name_taken"}
    gone = refusal(
        "system.update_role", agent(bob), name="Shouter", changes={"is_active": False}
    )
    assert gone.code == "not_found"
    assert call("system.list_roles", person(bob), search="shout")["roles"] == []


def test_a_name_that_is_nearly_right_gets_a_hint(ada: User, shouter: Role) -> None:
    refused = refusal("system.delete_role", person(ada), name="Shoutr")
    assert refused.detail.endswith("Did you mean 'Shouter'?")


@pytest.mark.parametrize("given", [{}, {"id": str(uuid4()), "name": "Shouter"}])
def test_an_object_is_named_in_one_way(ada: User, given: dict[str, Any]) -> None:
    refused = refusal("system.get_orchestration", person(ada), **given)
    assert refused.code == "invalid_arguments"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("system.get_orchestration", {"id": "7"}),
        ("system.get_execution_status", {}),
        ("system.execute_orchestration", {"name": "Flow", "wait_ms": 30_001}),
        ("system.execute_orchestration", {"name": "Flow", "input": [1]}),
        ("system.list_roles", {"limit": 101}),
        ("system.list_roles", {"search": "a\0"}),
        ("system.list_executions", {"cursor": "x"}),
        ("system.list_executions", {"created_after": "yesterday"}),
    ],
)
def test_misfits_are_refused(ada: User, tool: str, arguments: dict[str, Any]) -> None:
    assert refusal(tool, person(ada), **arguments).problems or tool.endswith("ions")


def test_an_unknown_status_is_refused(ada: User) -> None:
    refused = refusal("system.list_executions", person(ada), status=["runing"])
    assert "Did you mean 'running'?" in refused.detail


def test_shared_roles_are_used_and_not_changed(ada: User) -> None:
    Role.objects.create(**SHOUTER)
    for who in (person(ada), agent(ada), agent(None)):
        assert call("system.list_roles", who, name="Shouter")["roles"]
        refused = refusal("system.delete_role", who, name="Shouter")
        assert refused.code == "permission_denied"


def test_an_agent_of_nobody_changes_what_it_made(ada: User, shouter: Role) -> None:
    home = working(None)
    call("system.create_role", agent(None, home), **{**SHOUTER, "name": "Own"})
    call("system.update_role", agent(None, home), name="Own", changes={"name": "Mine"})
    names = [each["name"] for each in call("system.list_roles", agent(None))["roles"]]
    assert "Mine" in names
    assert "Shouter" not in names  # ada's


def test_nothing_is_done_for_a_user_who_is_not_active(ada: User) -> None:
    who = agent(ada)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert refusal("system.create_role", who, **SHOUTER).code == "inactive_user"
    assert refusal("system.list_executions", who).code == "inactive_user"


# --- executing ----------------------------------------------------------------------


def test_an_input_that_does_not_fit_is_refused(ada: User, shouter: Role) -> None:
    who = person(ada)
    schema = {"type": "object", "required": ["text"]}
    call("system.create_orchestration", who, name="F", steps=STEPS, input_schema=schema)
    refused = refusal("system.execute_orchestration", who, name="F", input={})
    assert refused.code == "invalid"
    assert list(codes(refused)) == ["/input"]


def test_an_inactive_orchestration_is_not_executed(ada: User, shouter: Role) -> None:
    who = person(ada)
    call("system.create_orchestration", who, name="F", steps=STEPS, is_active=False)
    refused = refusal("system.execute_orchestration", who, name="F")
    assert (refused.code, "not active" in refused.detail) == ("not_runnable", True)


def test_nothing_is_started_below_an_execution_that_ends(
    ada: User, shouter: Role
) -> None:
    home = working(ada)
    call("system.create_orchestration", agent(ada, home), name="F", steps=STEPS)
    Execution.objects.filter(pk=home.pk).update(cancel_request={"reason": "no"})
    refused = refusal("system.execute_orchestration", agent(ada, home), name="F")
    assert "being ended" in refused.detail


def test_waiting_ends_in_time_and_says_how_far_it_came(
    ada: User, shouter: Role
) -> None:
    who = person(ada)
    call("system.create_orchestration", who, name="F", steps=STEPS)
    run = call("system.execute_orchestration", who, name="F", wait_ms=120)
    assert set(run) == {"execution_id", "status"}
    assert run["status"] == "pending"


def test_executions_of_others_are_unknown(ada: User, bob: User, shouter: Role) -> None:
    who: Caller = person(ada)
    call("system.create_orchestration", who, name="F", steps=STEPS)
    run = call("system.execute_orchestration", who, name="F")
    id_ = run["execution_id"]
    refused = refusal("system.get_execution_status", person(bob), id=id_)
    assert refused.code == "not_found"
    assert call("system.list_executions", person(bob), orchestration="F") == {
        "executions": [],
        "next_cursor": None,
    }


# --- lists --------------------------------------------------------------------------


def test_lists_come_in_pages(ada: User) -> None:
    who = person(ada)
    for n in range(3):
        call("system.create_role", who, **{**SHOUTER, "name": f"R{n}"})
        steps = [{"name": "S", "role_name": "R0"}]
        call("system.create_orchestration", who, name=f"F{n}", steps=steps)
        call("system.execute_orchestration", who, name=f"F{n}")
    for tool, what, key in (
        ("system.list_roles", "roles", "name"),
        ("system.list_orchestrations", "orchestrations", "name"),
        ("system.list_executions", "executions", "orchestration_name"),
    ):
        first = call(tool, who, limit=2)
        rest = call(tool, who, limit=2, cursor=first["next_cursor"])
        found = [each[key] for each in first[what] + rest[what]]
        assert len(set(found)) == 3
        assert rest["next_cursor"] is None


def test_a_list_is_narrowed_as_over_rest(ada: User, shouter: Role) -> None:
    who = person(ada)
    call("system.update_role", who, name="Shouter", changes={"is_active": False})
    assert call("system.list_roles", who, is_active=True)["roles"] == []
    (found,) = call("system.list_roles", who, is_active=False, kind="function")["roles"]
    assert "config" not in found
    (found,) = call("system.list_roles", who, name="Shouter")["roles"]
    assert found["config"] == SHOUTER["config"]
