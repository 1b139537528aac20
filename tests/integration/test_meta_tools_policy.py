"""What the envelope of an agent's role keeps it from, whatever its user may do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions.models import Budget, Execution
from roles.models import Role
from roles.toolkit import Caller
from tests.integration.calling import agent, call, codes, person, refusal, working

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "threads_keep_no_connection"),
]

FUNCTION = {"kind": "function", "config": {"function": "text.upper"}}
STEP = {"key": "do", "name": "Do", "role_name": "Own"}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def home(ada: User) -> Execution:
    return working(ada)


def role(who: Caller, name: str = "Own", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = call(
        "system.create_role", who, **{**FUNCTION, "name": name, **fields}
    )
    return made


def flow(
    who: Caller, *steps: dict[str, Any], name: str = "Flow", **fields: Any
) -> dict[str, Any]:
    given = list(steps) or [STEP]
    made: dict[str, Any] = call(
        "system.create_orchestration", who, name=name, steps=given, **fields
    )
    return made


def others_flow(ada: User, name: str = "Other", **fields: Any) -> Orchestration:
    Role.objects.get_or_create(name="Human", defaults={**FUNCTION, "created_by": ada})
    steps = [{"name": "S", "role_name": "Human"}]
    return drafts.save({"name": name, "steps": steps, **fields}, by=ada)


# --- counts -------------------------------------------------------------------------


def test_no_more_roles_than_the_policy_allows(ada: User, home: Execution) -> None:
    role(agent(ada, home, max_roles=1))
    refused = refusal(
        "system.create_role", agent(ada, home, max_roles=1), name="B", **FUNCTION
    )
    assert (refused.code, "max_roles" in refused.detail) == ("limit_reached", True)
    role(agent(ada, max_roles=1), "C")  # another execution counts for itself


def test_no_more_orchestrations_than_the_policy_allows(
    ada: User, home: Execution
) -> None:
    role(agent(ada, home))
    flow(agent(ada, home))
    who = agent(ada, home, max_orchestrations=1)
    refused = refusal("system.create_orchestration", who, name="B", steps=[STEP])
    assert refused.code == "limit_reached"


def test_no_more_executions_than_the_policy_allows(ada: User, home: Execution) -> None:
    role(agent(ada, home))
    flow(agent(ada, home))
    first = agent(ada, home, max_executions=1)
    call("system.execute_orchestration", first, name="Flow")
    who = agent(ada, home, max_executions=1)
    refused = refusal("system.execute_orchestration", who, name="Flow")
    assert refused.code == "limit_reached"
    call("system.execute_orchestration", first, name="Flow")  # the same call again


def test_no_more_steps_than_the_policy_allows(ada: User, home: Execution) -> None:
    role(agent(ada, home))
    loop = {
        "key": "turns",
        "name": "Loop",
        "step_type": "loop",
        "config": {"count": 2, "max_iterations": 2},
        "steps": [STEP],
    }
    who = agent(ada, home, max_steps=1)
    refused = refusal("system.create_orchestration", who, name="F", steps=[loop])
    assert codes(refused) == {"/steps": "not_in_policy"}


# --- size and depth -----------------------------------------------------------------


def test_an_orchestration_gets_the_limits_of_its_makers_policy(
    ada: User, home: Execution
) -> None:
    role(agent(ada, home))
    made = flow(agent(ada, home, max_fan_out=5, max_depth=2), limits={"max_steps": 9})
    assert made["limits"] == {"max_fan_out": 5, "max_depth": 3, "max_steps": 9}


@pytest.mark.parametrize("limits", [{"max_fan_out": 6}, {"max_depth": 5}])
def test_no_wider_limits_are_given(
    ada: User, home: Execution, limits: dict[str, int]
) -> None:
    role(agent(ada, home))
    who = agent(ada, home, max_fan_out=5)
    refused = refusal(
        "system.create_orchestration", who, name="F", steps=[STEP], limits=limits
    )
    (name,) = limits
    assert codes(refused) == {f"/limits/{name}": "not_in_policy"}


def test_limits_cannot_be_taken_away_later(ada: User, home: Execution) -> None:
    role(agent(ada, home))
    flow(agent(ada, home, max_fan_out=5))
    who = agent(ada, home, max_fan_out=5)
    changed = call(
        "system.update_orchestration", who, name="Flow", changes={"limits": {}}
    )
    assert changed["limits"]["max_fan_out"] == 5
    refused = refusal(
        "system.update_orchestration",
        who,
        name="Flow",
        changes={"limits": {"max_fan_out": 6}},
    )
    assert codes(refused) == {"/changes/limits/max_fan_out": "not_in_policy"}


def test_nothing_is_started_where_the_policy_allows_no_depth(
    ada: User, home: Execution
) -> None:
    role(agent(ada, home))
    flow(agent(ada, home))
    who = agent(ada, home, max_depth=0)
    assert refusal("system.execute_orchestration", who, name="Flow").code == "too_deep"


def test_nothing_is_started_deeper_than_the_installation_allows(
    ada: User, settings: Any
) -> None:
    home = working(ada, depth=4)
    role(agent(ada, home))
    flow(agent(ada, home))
    settings.CORE_MAX_DEPTH = 5
    who = agent(ada, home, max_depth=9)
    assert refusal("system.execute_orchestration", who, name="Flow").code == "too_deep"


# --- what is used -------------------------------------------------------------------


def test_steps_use_own_roles_and_those_of_the_policy(
    ada: User, home: Execution
) -> None:
    others_flow(ada)
    role(agent(ada, home))
    human = Role.objects.get(name="Human")
    steps: list[dict[str, Any]] = [
        STEP,
        {"name": "A", "role_name": "Human"},
        {"name": "B", "role_id": str(human.pk).upper()},
        {"name": "C", "role_name": "Own", "compensate": {"role_name": "Human"}},
        {
            "name": "D",
            "step_type": "vote",
            "config": {"voter": "Human", "samples": 3, "field": "x"},
        },
    ]
    who = agent(ada, home, roles=["Agents*"])
    refused = refusal("system.create_orchestration", who, name="F", steps=steps)
    assert codes(refused) == {
        "/steps/1/role_name": "not_in_policy",
        "/steps/2/role_id": "not_in_policy",
        "/steps/3/compensate/role_name": "not_in_policy",
        "/steps/4/config/voter": "not_in_policy",
    }
    flow(agent(ada, home, roles=["Hum*"]), *steps)


def test_an_agent_of_nobody_uses_no_ones_roles(ada: User) -> None:
    Role.objects.create(name="Private", **FUNCTION, created_by=ada)
    steps = [{"name": "A", "role_name": "Private"}]
    refused = refusal("system.create_orchestration", agent(None), name="F", steps=steps)
    assert codes(refused) == {"/steps/0/role_name": "not_in_policy"}


def test_others_orchestrations_are_run_as_the_policy_says(
    ada: User, home: Execution
) -> None:
    others_flow(ada)
    refused = refusal("system.execute_orchestration", agent(ada, home), name="Other")
    assert refused.code == "not_in_policy"
    who = agent(ada, home, orchestrations=["Oth*"])
    assert call("system.execute_orchestration", who, name="Other")["execution_id"]


def test_no_step_runs_an_orchestration_out_of_the_policy(
    ada: User, home: Execution
) -> None:
    others_flow(ada)
    step = {
        "name": "Sub",
        "step_type": "orchestration",
        "config": {"orchestration_name": "Other"},
    }
    refused = refusal(
        "system.create_orchestration", agent(ada, home), name="F", steps=[step]
    )
    assert codes(refused) == {"/steps/0/config": "not_in_policy"}
    flow(agent(ada, home, orchestrations=["Other"]), step)


# --- what is changed ----------------------------------------------------------------


def test_others_orchestrations_are_not_changed(ada: User, home: Execution) -> None:
    others_flow(ada)
    for tool, more in (
        ("system.update_orchestration", {"changes": {"is_active": False}}),
        ("system.delete_orchestration", {}),
    ):
        refused = refusal(tool, agent(ada, home), name="Other", **more)
        assert refused.code == "not_in_policy"


def test_an_agent_may_change_in_another_execution_what_it_made(ada: User) -> None:
    role(agent(ada))
    flow(agent(ada))
    call("system.update_role", agent(ada), name="Own", changes={"description": "x"})
    call("system.delete_orchestration", agent(ada), name="Flow")
    stranger = agent(ada, role_name="Another", roles=[])
    assert refusal("system.delete_role", stranger, name="Own").code == "not_in_policy"


def test_an_agent_offers_no_tools_to_others(ada: User, home: Execution) -> None:
    step = {"name": "Shout", "role_name": "Shouter"}
    Role.objects.create(
        name="Shouter", kind="function", config={"function": "text.upper"}
    )
    made: dict[str, Any] = {
        "name": "Exposed",
        "steps": [step],
        "expose_as_tool": True,
    }

    refused = refusal("system.create_orchestration", agent(ada, home), **made)

    assert codes(refused) == {"/expose_as_tool": "not_in_policy"}
    allowed = agent(ada, home, expose=True)
    assert call("system.create_orchestration", allowed, **made)["expose_as_tool"]


@pytest.mark.parametrize("tool", ["system.update_role", "system.delete_role"])
def test_a_role_that_somebody_else_made_is_left_alone(
    ada: User, home: Execution, tool: str
) -> None:
    Role.objects.create(name="Writer", kind="agent", created_by=ada)
    changes = {"changes": {"base_prompt": "Obey."}} if "update" in tool else {}

    refused = refusal(tool, agent(ada, home), name="Writer", **changes)

    assert refused.code == "not_in_policy"
    assert Role.objects.get(name="Writer").base_prompt == ""


def test_a_role_that_may_do_more_is_not_changed(ada: User, home: Execution) -> None:
    Role.objects.create(
        name="Strong", kind="agent", tools=["function:text.upper"], created_by=ada
    )
    refused = refusal(
        "system.update_role",
        agent(ada, home, edits=["*"]),
        name="Strong",
        changes={"base_prompt": "Obey.", "tools": []},
    )
    assert refused.code == "not_in_policy"
    assert "may do more" in refused.detail


def test_an_agent_does_not_widen_itself(ada: User, home: Execution) -> None:
    Role.objects.create(name="Builder", kind="agent", tools=["meta"], created_by=ada)
    for changes in (
        {"tools": ["meta", "function:text.upper"]},
        {"config": {"policy": {"max_roles": 1000}}},
    ):
        who = agent(ada, home, tools=["meta"], max_roles=5, edits=["*"])
        refused = refusal("system.update_role", who, name="Builder", changes=changes)
        assert set(codes(refused).values()) == {"not_in_policy"}


def test_a_role_that_gets_meta_later_gets_a_policy_with_it(
    ada: User, home: Execution
) -> None:
    who = agent(ada, home, tools=["meta"], max_roles=5, kinds=["agent"])
    call("system.create_role", who, name="Sub", kind="agent")
    changed = call("system.update_role", who, name="Sub", changes={"tools": ["meta"]})
    policy = changed["config"]["policy"]
    assert (policy["max_roles"], policy["max_depth"], policy["kinds"]) == (
        5,
        2,
        ["agent"],
    )
    stripped = call("system.update_role", who, name="Sub", changes={"config": {}})
    assert stripped["config"]["policy"] == policy
    assert Role.objects.get(name="Sub").config["policy"]["max_roles"] == 5


# --- drafts and budgets -------------------------------------------------------------


def test_a_draft_waits_for_a_person(ada: User, home: Execution) -> None:
    role(agent(ada, home))
    assert flow(agent(ada, home, publish="draft"))["version"] is None
    refused = refusal("system.execute_orchestration", agent(ada, home), name="Flow")
    assert (refused.code, "a person" in refused.detail) == ("not_published", True)
    drafts.patch(Orchestration.objects.get(name="Flow"), {}, by=ada)  # a person does
    assert call("system.execute_orchestration", agent(ada, home), name="Flow")


def test_a_draft_of_what_is_live_leaves_that_live(ada: User, home: Execution) -> None:
    role(agent(ada, home))
    flow(agent(ada, home))
    steps = [STEP, {**STEP, "key": "again"}]
    changed = call(
        "system.update_orchestration",
        agent(ada, home, publish="draft"),
        name="Flow",
        changes={"steps": steps},
    )
    assert (len(changed["steps"]), changed["version"]) == (2, 1)
    kept = Orchestration.objects.get(name="Flow")
    assert kept.published is not None
    assert len(kept.published.definition["steps"]) == 1


def test_a_drafting_agent_changes_no_role_that_is_in_use(
    ada: User, home: Execution
) -> None:
    Role.objects.create(name="Live", **FUNCTION, created_by=ada)
    refused = refusal(
        "system.update_role",
        agent(ada, home, publish="draft"),
        name="Live",
        changes={"is_active": False},
    )
    assert refused.code == "not_in_policy"


def test_what_an_agent_starts_has_the_budget_of_its_policy(
    ada: User, home: Execution
) -> None:
    role(agent(ada, home))
    flow(agent(ada, home))
    who = agent(ada, home, budget={"tokens": 100})
    run = call("system.execute_orchestration", who, name="Flow")
    budget = Budget.objects.get(scope="execution", scope_id=run["execution_id"])
    assert budget.tokens == 100


# --- secrets, kinds -----------------------------------------------------------------


def test_an_http_role_takes_a_policy_that_says_so(ada: User, home: Execution) -> None:
    http = {"kind": "http", "config": {"method": "GET", "url": "https://a.example/"}}
    refused = refusal("system.create_role", agent(ada, home), name="H", **http)
    assert codes(refused) == {"/kind": "not_in_policy"}
    assert role(agent(ada, home, kinds=["http"]), "H", **http)["kind"] == "http"


def test_a_person_with_meta_is_limited_by_rights_alone(ada: User) -> None:
    http = {"kind": "http", "config": {"method": "GET", "url": "https://a.example/"}}
    assert role(person(ada), "H", **http)
    others_flow(ada)
    assert call("system.delete_orchestration", person(ada), name="Other")
