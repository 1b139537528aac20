"""Orchestrations over REST: saved whole, published, refused with every reason."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from core_orchestration.models import Orchestration, OrchestrationStep
from roles.models import Role
from tests.integration.answers import details_of, errors_of, problem_of

ORCHESTRATIONS = "/api/v1/orchestrations/"
ROLES = "/api/v1/roles/"
MakeRole = Callable[..., Role]


def step(step_key: str, **fields: Any) -> dict[str, Any]:
    named = {"key": step_key, "name": step_key.title(), "role_name": "Shouter"}
    return named | fields


def document(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": "Shouting",
        "steps": list(steps) or [step("shout", input_mapping={"text": "hello"})],
        **fields,
    }


@pytest.fixture
def shouter(make_role: MakeRole) -> Role:
    return make_role("Shouter")


@pytest.fixture
def saved(api: APIClient, shouter: Role) -> str:
    """The address of an orchestration of ada's with three steps."""
    response = api.post(
        ORCHESTRATIONS, document(step("one"), step("two"), step("three"))
    )
    assert response.status_code == 201, response.json()
    return str(response.headers["Location"])


def test_an_orchestration_is_made_published_and_read_back(
    api: APIClient, shouter: Role, user: User
) -> None:
    made = api.post(
        ORCHESTRATIONS,
        document(
            step("draft", role_name=None, role_id=str(shouter.pk)),
            {"name": "Shout it!", "role_name": "Shouter", "order": 7},
            tags=["demo", "text"],
            input_schema={"type": "object"},
            output="{{ output }}",
        ),
    )
    assert made.status_code == 201, made.json()
    read = api.get(made.headers["Location"])
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"]
    body = read.json()
    assert body["version"] == 1
    assert body["is_active"] is True
    assert body["tags"] == ["demo", "text"]
    assert [each["key"] for each in body["steps"]] == ["draft", "shout_it"]
    assert body["steps"][0]["role_id"] == str(shouter.pk)
    assert body["steps"][1]["order"] == 7
    assert body["steps"][1]["timeout_ms"] == 300_000
    orchestration = Orchestration.objects.get()
    assert orchestration.created_by == user
    assert orchestration.published is not None
    assert orchestration.published.created_by == user


def test_every_problem_comes_at_once_with_its_place(
    api: APIClient, shouter: Role
) -> None:
    response = api.post(
        ORCHESTRATIONS,
        document(
            step("one", role_name="Shoutr"),
            step("two", input_mapping={"text": "{{ context.three }}"}),
            step("two", max_retries="3"),
            step("four", timout_ms=5),
            tags="demo",
            nmae="x",
        ),
    )
    assert response.status_code == 400
    errors = errors_of(response)
    assert errors["/steps/3/timout_ms"] == "unknown_field"
    assert errors["/steps/2/max_retries"] == "wrong_type"
    assert errors["/tags"] == "wrong_type"
    assert errors["/nmae"] == "unknown_field"
    assert errors.keys() >= {"/steps/0/role_name", "/steps/1/input_mapping/text"}
    details = details_of(response)
    assert "'Shouter'" in details["/steps/0/role_name"]
    assert "'name'" in details["/nmae"]
    assert not Orchestration.objects.exists()


@pytest.mark.parametrize("body", ["[]", "7", "null", '"x"'])
def test_a_body_that_is_no_object_is_refused(
    api: APIClient, saved: str, body: str
) -> None:
    for call, url in (
        (api.post, ORCHESTRATIONS),
        (api.put, saved),
        (api.patch, saved),
    ):
        response = call(url, body, content_type="application/json")
        assert errors_of(response) == {"": "wrong_type"}


def test_validating_saves_nothing(api: APIClient, shouter: Role) -> None:
    url = f"{ORCHESTRATIONS}validate/"
    assert api.post(url, document()).json() == {"valid": True, "problems": []}
    verdict = api.post(url, document(step("one", role_name="Nobody")))
    assert verdict.status_code == 200
    assert verdict.json()["valid"] is False
    assert verdict.json()["problems"][0]["pointer"] == "/steps/0/role_name"
    assert not Orchestration.objects.exists()


def test_a_name_is_taken_until_its_owner_is_archived(
    api: APIClient, saved: str
) -> None:
    assert errors_of(api.post(ORCHESTRATIONS, document())) == {"/name": "name_taken"}
    assert api.delete(saved).status_code == 204
    assert api.post(ORCHESTRATIONS, document()).status_code == 201


def test_a_step_keeps_its_row_by_its_key(api: APIClient, saved: str) -> None:
    rows = dict(OrchestrationStep.objects.values_list("key", "pk"))
    response = api.put(saved, document(step("three"), step("one"), step("new")))
    assert response.status_code == 200, response.json()
    assert [each["key"] for each in response.json()["steps"]] == [
        "three",
        "one",
        "new",
    ]
    after = dict(OrchestrationStep.objects.values_list("key", "pk"))
    assert after["one"] == rows["one"]
    assert after["three"] == rows["three"]
    assert after.keys() == {"one", "three", "new"}


def test_a_changed_definition_is_a_new_version(api: APIClient, saved: str) -> None:
    assert api.patch(saved, {"description": "Loud."}).json()["version"] == 1
    assert api.patch(saved, {"steps": [step("one")]}).json()["version"] == 2
    body = api.get(saved).json()
    assert body["description"] == "Loud."
    assert body["version"] == 2


def test_what_was_read_can_be_put_back(api: APIClient, saved: str) -> None:
    body = api.get(saved).json()
    again = api.put(saved, body)
    assert again.status_code == 200, again.json()
    assert again.json() | {"updated_at": None} == body | {"updated_at": None}


def limits_of(body: dict[str, Any]) -> list[Any]:
    names = ("total_timeout_ms", "queue_timeout_ms", "at_most_once")
    return [each[name] for each in body["steps"] for name in names]


def test_a_steps_limits_are_kept_and_taken_back(api: APIClient, shouter: Role) -> None:
    most = 366 * 86_400_000
    limits = {"total_timeout_ms": 1, "queue_timeout_ms": most, "at_most_once": True}
    made = api.post(ORCHESTRATIONS, document(step("one", **limits)))
    address = made.headers["Location"]
    assert limits_of(api.get(address).json()) == [1, most, True]
    again = api.put(address, api.get(address).json()).json()
    assert (again["version"], limits_of(again)) == (1, [1, most, True])
    taken_back = api.patch(address, {"steps": [step("one")]}).json()
    assert (taken_back["version"], limits_of(taken_back)) == (2, [None, None, False])


def test_faulty_limits_are_named_each_with_its_place(
    api: APIClient, shouter: Role
) -> None:
    wrong = {"total_timeout_ms": 0, "queue_timeout_ms": 1.5, "at_most_once": "yes"}
    response = api.post(ORCHESTRATIONS, document(step("one"), step("two", **wrong)))
    assert response.status_code == 400
    assert errors_of(response) == {
        "/steps/1/total_timeout_ms": "out_of_range",
        "/steps/1/queue_timeout_ms": "wrong_type",
        "/steps/1/at_most_once": "wrong_type",
    }


def test_a_steps_limits_are_described(api: APIClient) -> None:
    schema = api.get("/api/v1/schema/").json()
    described = schema["components"]["schemas"]["Step"]["properties"]
    for name in ("total_timeout_ms", "queue_timeout_ms"):
        assert described[name]["type"] == ["integer", "null"]
        assert "null: no limit" in described[name]["description"]
    assert described["at_most_once"]["default"] is False
    assert "needs_attention" in described["at_most_once"]["description"]


def refining(**config: Any) -> dict[str, Any]:
    """A loop with a branch step in it that may end it, and a map after it."""
    case = {
        "branch": "done",
        "condition": {"field": "output", "operator": "exists"},
    }
    judge = {
        "key": "judge",
        "name": "Judge",
        "step_type": "branch",
        "config": {"cases": [case], "else": "mend"},
        "steps": [
            step("praise", branch="done"),
            {"key": "leave", "name": "Leave", "step_type": "break", "branch": "done"},
            step("mend", input_mapping="{{ loop.index }}"),
        ],
    }
    loop = {
        "key": "refine",
        "name": "Refine",
        "step_type": "loop",
        "config": {"max_iterations": 5, **config},
        "steps": [step("draft"), judge],
    }
    each = {
        "key": "each",
        "name": "Each",
        "step_type": "map",
        "config": {"items": "{{ context.refine }}", "item_errors": "drop"},
        "steps": [step("score", input_mapping="{{ item }}")],
    }
    return document(loop, each)


def test_nested_steps_are_made_read_back_put_back_and_patched(
    api: APIClient, shouter: Role
) -> None:
    made = api.post(ORCHESTRATIONS, refining())
    assert made.status_code == 201, made.json()
    address = made.headers["Location"]
    read = api.get(address)
    body = read.json()
    assert body == made.json()
    judge = body["steps"][0]["steps"][1]
    assert [each["branch"] for each in judge["steps"]] == ["done", "done", None]
    assert judge["config"] == refining()["steps"][0]["steps"][1]["config"]
    assert judge["steps"][1]["role_name"] is None

    again = api.put(address, body, HTTP_IF_MATCH=read.headers["ETag"])
    assert again.status_code == 200, again.json()
    assert again.json() | {"updated_at": None} == body | {"updated_at": None}

    body["steps"][0]["steps"][1]["steps"].pop()
    body["steps"][0]["steps"][1]["config"].pop("else")
    patched = api.patch(address, {"steps": body["steps"]})
    assert patched.json()["version"] == 2
    assert patched.json()["steps"] == body["steps"]
    assert patched.headers["ETag"] != again.headers["ETag"]
    assert api.get(address).json() == patched.json()
    assert not OrchestrationStep.objects.filter(key="mend").exists()


def test_a_body_is_not_changed_by_who_read_an_older_one(
    api: APIClient, shouter: Role
) -> None:
    made = api.post(ORCHESTRATIONS, refining())
    address, stale = made.headers["Location"], made.headers["ETag"]
    newer = api.put(address, refining(collect="all"), HTTP_IF_MATCH=stale)
    assert newer.status_code == 200
    refused = api.put(address, refining(), HTTP_IF_MATCH=stale)
    assert refused.status_code == 412
    kept = api.get(address).json()["steps"][0]["config"]
    assert kept == {"max_iterations": 5, "collect": "all"}


def test_problems_inside_bodies_are_named_with_their_places(
    api: APIClient, shouter: Role
) -> None:
    faulty = refining(until={"field": "context.praise", "operator": "exists"})
    judge = faulty["steps"][0]["steps"][1]
    judge["config"]["else"] = "mends"
    judge["steps"][0]["role_name"] = "Shoutr"
    judge["role_name"] = "Shouter"
    faulty["steps"][1]["steps"][0]["branch"] = "x"
    faulty["steps"][1]["config"]["items"] = "{{ context.draft }}"
    within = "/steps/0/steps/1"
    for response in (
        api.post(ORCHESTRATIONS, faulty),
        api.post(f"{ORCHESTRATIONS}validate/", faulty),
    ):
        body = response.json()
        problems = body["errors"] if "errors" in body else body["problems"]
        assert {each["pointer"]: each["code"] for each in problems} == {
            "/steps/0/config/until/field": "inner_reference",
            f"{within}/config/else": "unknown_branch",
            f"{within}/role_name": "unexpected_role",
            f"{within}/steps/0/role_name": "unknown_role",
            "/steps/1/steps/0/branch": "unexpected_branch",
            "/steps/1/config/items": "inner_reference",
        }
        details = {each["pointer"]: each["detail"] for each in problems}
        assert "'mend'" in details[f"{within}/config/else"]
        assert "context.refine" in details["/steps/1/config/items"]
    assert not Orchestration.objects.exists()


def test_twenty_levels_of_steps_are_kept(api: APIClient, shouter: Role) -> None:
    deep: Any = 1
    for _ in range(45):
        deep = [deep]
    inner = step("deepest", config={"x": deep})
    for level in range(19):
        config = {"max_iterations": 1}
        key = f"l_{level}"
        loop = {"key": key, "step_type": "loop", "config": config, "steps": [inner]}
        inner = {"name": key, **loop}
    made = api.post(ORCHESTRATIONS, document(inner))
    assert made.status_code == 201, made.json()
    again = api.put(made.headers["Location"], made.json())
    assert again.status_code == 200, again.json()
    assert again.json()["version"] == 1
    assert OrchestrationStep.objects.get(key="deepest").config == {"x": deep}
    one_more = {**made.json(), "steps": [{**inner, "key": "top", "steps": [inner]}]}
    refused = api.put(made.headers["Location"], one_more)
    assert errors_of(refused) == {"/steps/0" * 20 + "/steps": "too_deep"}


def test_a_role_used_deep_inside_a_body_is_not_removed(
    api: APIClient, shouter: Role, make_role: MakeRole
) -> None:
    deep = make_role("Deep")
    whole = refining()
    whole["steps"][0]["steps"][1]["steps"][0]["role_name"] = "Deep"
    made = api.post(ORCHESTRATIONS, whole)
    url = f"{ROLES}{deep.pk}/"
    refused = api.delete(url)
    assert refused.status_code == 409
    assert [each["name"] for each in refused.json()["users"]] == ["Shouting"]
    api.delete(made.headers["Location"])
    assert api.delete(url).status_code == 204


def test_step_types_are_described(api: APIClient) -> None:
    schema = api.get("/api/v1/schema/").json()
    described = schema["components"]["schemas"]["Step"]["properties"]
    for kind in ("sequential", "parallel", "loop", "map", "branch", "break", "stop"):
        assert f"`{kind}`" in described["step_type"]["description"]
    assert described["branch"]["type"] == ["string", "null"]
    for name in ("max_iterations", "items", "cases", "weights", "join", "status"):
        assert name in described["config"]["description"]
    assert described["steps"]["items"] == {"$ref": "#/components/schemas/Step"}
    request = schema["paths"][ORCHESTRATIONS]["post"]["requestBody"]
    examples = request["content"]["application/json"]["examples"]
    assert "ALoopWithABranchInIt" in examples


def test_the_described_example_of_a_loop_is_accepted(
    api: APIClient, make_role: MakeRole
) -> None:
    for name in ("Writer", "Critic", "Reader"):
        make_role(name)
    schema = api.get("/api/v1/schema/").json()
    request = schema["paths"][ORCHESTRATIONS]["post"]["requestBody"]
    examples = request["content"]["application/json"]["examples"]
    made = api.post(ORCHESTRATIONS, examples["ALoopWithABranchInIt"]["value"])
    assert made.status_code == 201, made.json()


def test_steps_of_equal_order_stay_as_they_were_sent(
    api: APIClient, shouter: Role
) -> None:
    keys = ["c", "a", "b"]
    made = api.post(
        ORCHESTRATIONS, document(*(step(f"step_{key}", order=3) for key in keys))
    )
    assert [each["key"] for each in made.json()["steps"]] == [
        "step_c",
        "step_a",
        "step_b",
    ]


def test_an_archived_orchestration_is_gone_and_its_rows_stay(
    api: APIClient, saved: str
) -> None:
    assert api.delete(saved).status_code == 204
    for response in (api.get(saved), api.delete(saved), api.patch(saved, {})):
        assert response.status_code == 404
        problem_of(response)
    assert api.get(ORCHESTRATIONS).json()["results"] == []
    orchestration = Orchestration.objects.get()
    assert orchestration.archived_at is not None
    assert orchestration.step_rows.count() == 3


def test_a_role_in_use_is_not_removed(
    api: APIClient, shouter: Role, saved: str
) -> None:
    url = f"{ROLES}{shouter.pk}/"
    refused = api.delete(url)
    assert refused.status_code == 409
    assert problem_of(refused)["code"] == "role_in_use"
    (user_of_role,) = refused.json()["users"]
    assert user_of_role["kind"] == "orchestration"
    assert user_of_role["name"] == "Shouting"
    assert user_of_role["id"] in saved
    api.delete(saved)
    assert api.delete(url).status_code == 204


def test_a_role_used_by_its_id_is_not_removed_either(
    api: APIClient, shouter: Role
) -> None:
    used = step("one", role_name=None, role_id=str(shouter.pk).upper())
    made = api.post(ORCHESTRATIONS, document(used))
    assert made.status_code == 201, made.json()
    assert made.json()["steps"][0]["role_id"] == str(shouter.pk)
    url = f"{ROLES}{shouter.pk}/"
    assert api.delete(url).status_code == 409
    api.delete(made.headers["Location"])
    assert api.delete(url).status_code == 204


def test_an_unknown_role_id_is_refused(api: APIClient, shouter: Role) -> None:
    unknown = step("one", role_name=None, role_id=str(uuid.uuid4()))
    response = api.post(ORCHESTRATIONS, document(unknown))
    assert "/steps/0/role_id" in errors_of(response)


def test_somebody_elses_role_cannot_be_named(
    api: APIClient, other: User, make_role: MakeRole
) -> None:
    make_role("Shouter", created_by=other)
    assert "/steps/0/role_name" in errors_of(api.post(ORCHESTRATIONS, document()))


def test_lists_omit_steps_and_are_filtered(api: APIClient, shouter: Role) -> None:
    for name, tags, is_active in (
        ("A", ["red", "new"], True),
        ("B", ["red"], False),
        ("C", [], True),
    ):
        body = document(name=name, tags=tags, is_active=is_active, description=name * 9)
        assert api.post(ORCHESTRATIONS, body).status_code == 201

    def names(query: str) -> list[str]:
        results = api.get(ORCHESTRATIONS + query).json()["results"]
        assert all("steps" not in each for each in results)
        return [each["name"] for each in results]

    assert names("") == ["A", "B", "C"]
    assert names("?tags=red") == ["A", "B"]
    assert names("?tags=red,new") == ["A"]
    assert names("?tags=red&tags=new") == ["A"]
    assert names("?tags=blue") == []
    assert names("?is_active=false") == ["B"]
    assert names("?name=C") == ["C"]
    assert names("?search=bbb") == ["B"]
    assert names("?tags=red&is_active=true") == ["A"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"parallel_group": "g" * 70}, "/steps/0/parallel_group"),
        ({"branch": "b" * 65}, "/steps/0/branch"),
        ({"max_retries": 2**31}, "/steps/0/max_retries"),
        ({"timeout_ms": 2**63}, "/steps/0/timeout_ms"),
        ({"total_timeout_ms": 2**63}, "/steps/0/total_timeout_ms"),
        ({"queue_timeout_ms": 2**63}, "/steps/0/queue_timeout_ms"),
        ({"order": 2**31}, "/steps/0/order"),
        ({"retry_backoff": True}, "/steps/0/retry_backoff"),
        ({"retry_jitter": 1}, "/steps/0/retry_jitter"),
        ({"on_error": "ignore"}, "/steps/0/on_error"),
        ({"config": None}, "/steps/0/config"),
        ({"key": "k" * 65}, "/steps/0/key"),
        ({"name": "n" * 201}, "/steps/0/name"),
        ({"role_name": "r" * 201}, "/steps/0/role_name"),
        ({"role_id": "no uuid"}, "/steps/0/role_id"),
    ],
)
def test_a_field_out_of_range_is_named(
    api: APIClient, shouter: Role, fields: dict[str, Any], place: str
) -> None:
    response = api.post(ORCHESTRATIONS, document(step("one", **fields)))
    assert response.status_code == 400
    assert place in errors_of(response)
