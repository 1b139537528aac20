"""The envelope of agents: what it allows, what is wrong with one, what is wider."""

from __future__ import annotations

from typing import Any

import pytest

from roles import documents
from roles.acting import Actor
from roles.toolkit import Caller, Policy, policy_problems
from roles.toolkit.envelope import role_problems, with_policy


def agent(*grants: str, **policy: Any) -> Caller:
    actor = Actor(channel="agent", execution_id="e", step_path="a", role_name="Builder")
    return Caller(
        actor=actor,
        user_id=1,
        policy=Policy.model_validate(policy),
        grants=frozenset(grants),
    )


def role(**fields: Any) -> dict[str, Any]:
    return {"name": "Helper", "kind": "agent", **fields}


def refused(document: dict[str, Any], caller: Caller) -> dict[str, str]:
    found = role_problems(document, caller)
    assert {each.code for each in found} <= {"not_in_policy"}
    return {each.pointer: each.detail for each in found}


# --- patterns -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "is_allowed"),
    [
        ("*", "anything", True),
        ("text.*", "text.upper", True),
        ("text.*", "texts.upper", False),
        ("Mail", "mail", False),
        ("a[b]", "a[b]", True),
        ("a[b]", "ab", False),
        ("what?", "what?", True),
        ("what?", "whats", False),
        ("", "x", False),
    ],
)
def test_only_a_star_stands_for_more(pattern: str, name: str, is_allowed: bool) -> None:
    assert Policy.allows([pattern], name) is is_allowed


# --- a policy as a document ---------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "pointer", "code"),
    [
        ({"max_role": 1}, "/config/policy/max_role", "unknown_field"),
        ({"max_roles": -1}, "/config/policy/max_roles", "invalid"),
        ({"max_steps": 0}, "/config/policy/max_steps", "invalid"),
        ({"kinds": "agent"}, "/config/policy/kinds", "invalid"),
        ({"publish": "later"}, "/config/policy/publish", "invalid"),
        ({"budget": {"money": -1}}, "/config/policy/budget/money", "invalid"),
        ({"budget": {"euros": 1}}, "/config/policy/budget/euros", "unknown_field"),
    ],
)
def test_a_wrong_policy_is_named_below_its_role(
    policy: dict[str, Any], pointer: str, code: str
) -> None:
    found = documents.problems_of(role(config={"policy": policy}))
    assert [(each.pointer, each.code) for each in found] == [(pointer, code)]


def test_a_mistyped_field_gets_a_hint() -> None:
    (problem,) = policy_problems({"max_role": 1}, "")
    assert "'max_roles'" in problem.detail


def test_a_sound_policy_is_accepted() -> None:
    policy = {"roles": ["A*"], "budget": {"money": "1.50"}, "publish": "draft"}
    assert documents.problems_of(role(config={"policy": policy})) == []


# --- roles that agents make ---------------------------------------------------------


def test_a_person_is_not_held_to_any_envelope() -> None:
    person = Caller(actor=Actor(), user_id=1)
    wide = role(kind="http", tools=["meta", "function:text.upper"])
    assert role_problems(wide, person) == []
    assert with_policy(wide, person) == wide


def test_a_plain_agent_may_be_made() -> None:
    assert refused(role(base_prompt="Help."), agent("meta")) == {}


def test_a_kind_that_the_policy_leaves_out_is_refused() -> None:
    found = refused(role(kind="http"), agent("meta"))
    assert "allowed: agent, function" in found["/kind"]


def test_a_function_that_the_policy_leaves_out_is_refused() -> None:
    document = role(kind="function", config={"function": "http.get"})
    found = refused(document, agent("meta", functions=["text.*"]))
    assert "text.*" in found["/config/function"]


def test_no_tool_is_handed_on_unless_the_policy_says_so() -> None:
    document = role(tools=["function:text.upper", "meta"])
    found = refused(document, agent("meta", "function:text.upper"))
    assert set(found) == {"/tools/0", "/tools/1"}


def test_no_tool_is_handed_on_that_the_maker_has_not() -> None:
    document = role(tools=["function:text.upper", "function:text.lower", "meta"])
    found = refused(document, agent("function:text.upper", tools=["*"], max_depth=9))
    assert set(found) == {"/tools/1", "/tools/2"}
    assert "You do not have" in found["/tools/1"]


@pytest.mark.parametrize(
    "constraints",
    [
        {},
        {"preferred": ["openai:gpt-5"]},
        {"providers": ["anthropic"]},
        {"pinned": "anthropic:claude"},
        {"model": "anthropic:claude"},
        {"pinned": "openai:gpt-5", "preferred": ["anthropic:claude"]},
    ],
)
def test_a_model_out_of_the_policy_cannot_be_chosen(constraints: Any) -> None:
    document = role(model_constraints=constraints)
    assert refused(document, agent("meta", models=["openai:*"]))


@pytest.mark.parametrize(
    "constraints",
    [{"pinned": "openai:gpt-5"}, {"model": "openai:x"}, {"providers": ["openai"]}],
)
def test_a_model_of_the_policy_can_be_chosen(constraints: Any) -> None:
    document = role(model_constraints=constraints)
    assert refused(document, agent("meta", models=["openai:*"])) == {}


def test_secrets_are_named_only_where_the_policy_says_so() -> None:
    config = {"url": "https://a.example", "headers": {"x": {"$secret": "key"}}}
    document = role(kind="http", config=config)
    assert set(refused(document, agent(kinds=["http"]))) == {"/config/headers/x"}
    assert refused(document, agent(kinds=["http"], secrets=["key"])) == {}


# --- policies that agents give ------------------------------------------------------


def test_a_role_with_meta_gets_what_its_makers_policy_leaves() -> None:
    maker = agent("meta", tools=["meta"], max_depth=2, budget={"tokens": 10})
    document = with_policy(role(tools=["meta"], config={"max_tokens": 5}), maker)
    policy = document["config"]["policy"]
    assert policy["max_depth"] == 1
    assert policy["budget"]["tokens"] == 10
    assert document["config"]["max_tokens"] == 5
    assert refused(document, maker) == {}
    assert documents.problems_of(document) == []


def test_a_narrower_policy_is_kept() -> None:
    maker = agent("meta", tools=["meta"], budget={"tokens": 10})
    own = {"max_roles": 1, "kinds": ["function"], "budget": {"tokens": 3}}
    document = with_policy(role(tools=["meta"], config={"policy": own}), maker)
    policy = document["config"]["policy"]
    assert (policy["max_roles"], policy["kinds"]) == (1, ["function"])
    assert policy["budget"]["tokens"] == 3
    assert refused(document, maker) == {}


@pytest.mark.parametrize(
    ("own", "field"),
    [
        ({"roles": ["*"]}, "roles"),
        ({"kinds": ["agent", "http"]}, "kinds"),
        ({"functions": ["text*"]}, "functions"),
        ({"tools": ["*"]}, "tools"),
        ({"models": ["*"]}, "models"),
        ({"secrets": ["key"]}, "secrets"),
        ({"orchestrations": ["x"]}, "orchestrations"),
        ({"max_roles": 21}, "max_roles"),
        ({"max_orchestrations": 11}, "max_orchestrations"),
        ({"max_steps": 51}, "max_steps"),
        ({"max_executions": 21}, "max_executions"),
        ({"max_fan_out": 101}, "max_fan_out"),
        ({"max_depth": 3}, "max_depth"),
        ({"budget": {"tokens": 11}}, "budget"),
        ({"budget": {"tokens": None}}, "budget"),
        ({"publish": "live"}, "publish"),
    ],
)
def test_a_wider_policy_is_refused(own: dict[str, Any], field: str) -> None:
    maker = agent(
        "meta",
        roles=["A*"],
        functions=["text.*"],
        tools=["meta"],
        models=["openai:*"],
        budget={"tokens": 10},
        publish="draft",
    )
    constraints = {"pinned": "openai:x"}
    document = role(
        tools=["meta"], config={"policy": own}, model_constraints=constraints
    )
    found = refused(with_policy(document, maker), maker)
    assert set(found) == {f"/config/policy/{field}"}


def test_a_pattern_within_another_is_no_wider() -> None:
    maker = agent("meta", tools=["meta"], functions=["text.*"])
    own = {"functions": ["text.u*", "text.upper"]}
    document = with_policy(role(tools=["meta"], config={"policy": own}), maker)
    assert refused(document, maker) == {}


@pytest.mark.parametrize("config", [[], {"policy": 3}, {"policy": {"budget": 3}}])
def test_what_is_no_policy_is_left_to_the_documents_own_checks(config: Any) -> None:
    document = role(tools=["meta"], config=config)
    kept = with_policy(document, agent("meta", tools=["meta"]))
    assert documents.problems_of(kept)
