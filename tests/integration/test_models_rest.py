"""Language models over REST and in the admin: seen by all, kept by staff."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from roles.catalogue import reading, selecting
from roles.catalogue.editing import save_model
from roles.models import AuditEntry, LanguageModel, ModelChoice, Role
from roles.runners import RoleSpec
from roles.runners.hosting import Needs
from tests.integration.answers import details_of, errors_of, problem_of
from tests.integration.statements import statements

MODELS = "/api/v1/models/"
DOCUMENT = {
    "provider": "inhouse",
    "model": "llama",
    "api": "openai",
    "base_url": "http://models.example/v1",
    "context_tokens": 100_000,
    "input_price": "1",
    "output_price": "4",
    "capabilities": ["tools"],
    "tier": "balanced",
}


@pytest.fixture(autouse=True)
def new_process(db: None) -> Iterator[None]:
    reading.forget()
    yield
    reading.forget()


def add(model: str, **changes: Any) -> LanguageModel:
    row = save_model({**DOCUMENT, "model": model, **changes})
    reading.forget()
    return row


def test_staff_add_a_model_and_all_read_it(
    staff_api: APIClient, api: APIClient
) -> None:
    made = staff_api.post(MODELS, DOCUMENT)
    assert made.status_code == 201
    read = api.get(made.headers["Location"])
    assert read.status_code == 200
    assert read.json() == made.json()
    shown = read.json()
    assert shown["name"] == "inhouse:llama"
    assert shown["input_price"] == "1.000000"
    assert shown["cached_input_price"] is None
    entry = AuditEntry.objects.get(object_type="model")
    assert (entry.action, entry.object_name) == ("model.create", "inhouse:llama")


@pytest.mark.parametrize("method", ["post", "patch"])
def test_others_may_not(api: APIClient, method: str) -> None:
    row = add("llama")
    address = MODELS if method == "post" else f"{MODELS}{row.pk}/"
    body = {**DOCUMENT, "model": "mine"} if method == "post" else {"tier": "best"}
    response = getattr(api, method)(address, body)
    assert response.status_code == 403
    assert problem_of(response)["code"] == "permission_denied"
    assert LanguageModel.objects.get().tier == "balanced"


@pytest.mark.parametrize("method", ["put", "delete"])
def test_models_are_neither_replaced_nor_removed(
    staff_api: APIClient, method: str
) -> None:
    row = add("llama")
    assert getattr(staff_api, method)(f"{MODELS}{row.pk}/").status_code == 405
    assert LanguageModel.objects.exists()


def test_a_patch_changes_what_it_names_and_says_so(staff_api: APIClient) -> None:
    row = add("llama")
    LanguageModel.objects.update(edited=[])
    changed = staff_api.patch(f"{MODELS}{row.pk}/", {"input_price": "0.5", "tier": ""})
    assert changed.status_code == 200
    assert changed.json()["edited"] == ["input_price", "tier"]
    assert changed.json()["output_price"] == "4.000000"
    entry = AuditEntry.objects.get(action="model.update")
    assert entry.before == {"input_price": "1.000000", "tier": "balanced"}
    assert entry.after == {"input_price": "0.5", "tier": ""}


def test_what_was_read_can_be_patched_back(staff_api: APIClient) -> None:
    address = f"{MODELS}{add('llama').pk}/"
    assert staff_api.patch(address, staff_api.get(address).json()).status_code == 200
    assert not AuditEntry.objects.filter(action="model.update").exists()


def test_a_stale_patch_is_refused(staff_api: APIClient) -> None:
    address = f"{MODELS}{add('llama').pk}/"
    tag = staff_api.get(address).headers["ETag"]
    assert staff_api.patch(address, {"tier": "best"}).status_code == 200
    stale = staff_api.patch(address, {"tier": "fast"}, HTTP_IF_MATCH=tag)
    assert stale.status_code == 412


def test_every_fault_is_named_at_once(staff_api: APIClient) -> None:
    response = staff_api.post(
        MODELS,
        {"provider": "x", "api": "smtp", "quality": 200, "tire": "best"},
    )
    assert errors_of(response) == {
        "/model": "required",
        "/api": "invalid",
        "/quality": "invalid",
        "/tire": "unknown_field",
    } or errors_of(response).keys() >= {"/api", "/quality", "/tire"}
    assert "'tier'" in details_of(response)["/tire"]


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"model": "other"}, "/model", "unchangeable"),
        ({"provider": "other"}, "/provider", "unchangeable"),
        ({"credential": "nowhere"}, "/credential", "unknown_secret"),
        ({"context_tokens": "many"}, "/context_tokens", "wrong_type"),
        ([], "", "wrong_type"),
    ],
)
def test_a_patch_that_breaks_a_model_changes_nothing(
    staff_api: APIClient, changes: Any, place: str, code: str
) -> None:
    row = add("llama")
    response = staff_api.patch(f"{MODELS}{row.pk}/", changes)
    assert errors_of(response) == {place: code}
    assert LanguageModel.objects.get().updated_at == row.updated_at


def test_a_name_is_taken_once(staff_api: APIClient) -> None:
    add("llama")
    assert errors_of(staff_api.post(MODELS, DOCUMENT)) == {"/model": "name_taken"}


def test_lists_are_filtered(api: APIClient) -> None:
    add("a", tier="best", capabilities=["tools", "vision"])
    add("b", capabilities=None, is_active=False)
    add("c", provider="other", is_deprecated=True)

    def names(query: str) -> list[str]:
        return [each["name"] for each in api.get(MODELS + query).json()["results"]]

    assert names("") == ["inhouse:a", "inhouse:b", "other:c"]
    assert names("?provider=other") == ["other:c"]
    assert names("?capability=tools") == ["inhouse:a", "other:c"]
    assert names("?capability=vision") == ["inhouse:a"]
    assert names("?capability=smell") == []
    assert names("?tier=best") == ["inhouse:a"]
    assert names("?is_active=false") == ["inhouse:b"]
    assert names("?is_deprecated=true") == ["other:c"]
    assert names("?search=HOUSE") == ["inhouse:a", "inhouse:b"]
    assert names("?name=inhouse:b") == ["inhouse:b"]
    assert errors_of(api.get(MODELS + "?is_active=maybe")) == {"/is_active": "invalid"}


def test_a_list_costs_as_much_for_many_as_for_few(api: APIClient) -> None:
    def cost() -> int:
        with statements() as seen:
            assert api.get(MODELS).status_code == 200
        return len(seen)

    add("a")
    cost()  # the key is noted as used
    first = cost()
    for name in "bcdefg":
        add(name)
    assert cost() == first


def choose(api: APIClient, **question: Any) -> Any:
    return api.post(f"{MODELS}choose/", question)


def test_why_a_model_is_answered_without_a_role(api: APIClient) -> None:
    add("cheap", input_price="0.1", capabilities=[])
    add("tooled")
    answer = choose(api, model_constraints={"tier": "balanced"}, needs_tools=True)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["chosen"], found["fallbacks"]) == ("inhouse:tooled", [])
    assert found["rejected"]["inhouse:cheap"] == "it has no tools"
    assert found["needs"]["capabilities"] == ["tools"]
    assert not ModelChoice.objects.exists()
    assert not Role.objects.exists()


def test_that_no_model_fits_is_an_answer_too(api: APIClient) -> None:
    add("llama")
    found = choose(api, model_constraints={"tier": "best"}).json()
    assert found["chosen"] is None
    assert "The nearest is inhouse:llama" in found["why"]


def test_nothing_asked_is_answered_with_the_installation_s_model(
    api: APIClient,
) -> None:
    add("llama")
    assert choose(api).json()["chosen"] == "demo:echo"


def test_a_question_that_is_wrong_is_refused(api: APIClient) -> None:
    response = choose(api, model_constraints={"tier": "good", "models": []})
    assert errors_of(response) == {
        "/model_constraints/tier": "invalid",
        "/model_constraints/models": "invalid",
    }
    assert errors_of(choose(api, output_schema=[])) == {"/output_schema": "wrong_type"}
    assert errors_of(choose(api, constraints={})) == {"/constraints": "unknown_field"}
    assert errors_of(choose(api, needs_tools=1)) == {"/needs_tools": "wrong_type"}


def test_a_choice_is_read_by_its_digest(api: APIClient) -> None:
    add("llama")
    spec = RoleSpec(
        id="", name="", kind="agent", model_constraints={"tier": "balanced"}
    )
    digest = selecting.select(spec, Needs(), "demo:echo").digest
    read = api.get(f"/api/v1/model-choices/{digest}/")
    assert read.status_code == 200
    assert read.json()["choice"]["chosen"] == "inhouse:llama"
    assert api.get(f"/api/v1/model-choices/{'0' * 64}/").status_code == 404
    assert api.get("/api/v1/model-choices/").status_code == 404


ADMIN = "/admin/roles/languagemodel/"


def form(**changes: Any) -> dict[str, Any]:
    entered = {
        "provider": "inhouse",
        "model": "llama",
        "is_active": "on",
        "api": "openai",
        "base_url": "",
        "credential": "",
        "context_tokens": "",
        "max_output_tokens": "",
        "capabilities": "tools,vision",
        "tier": "",
        "quality": "",
        "input_price": "1.5",
        "cached_input_price": "",
        "output_price": "",
    }
    return {**entered, **changes}


def errors(response: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def test_the_admin_adds_and_changes_models(admin_client: Client) -> None:
    assert admin_client.post(f"{ADMIN}add/", form()).status_code == 302
    row = LanguageModel.objects.get()
    assert row.name == "inhouse:llama"
    assert (row.input_price, row.output_price) == (Decimal("1.5"), None)
    assert row.capabilities == ["tools", "vision"]
    LanguageModel.objects.update(edited=[])
    page = f"{ADMIN}{row.pk}/change/"
    assert admin_client.get(page).status_code == 200
    changed = admin_client.post(page, form(tier="best", capabilities=""))
    assert changed.status_code == 302
    row.refresh_from_db()
    assert row.tier == "best"
    assert row.capabilities is None
    assert row.edited == ["capabilities", "tier"]
    assert AuditEntry.objects.filter(action="model.update").count() == 1


def test_the_admin_shows_what_is_wrong_at_its_field(admin_client: Client) -> None:
    response = admin_client.post(
        f"{ADMIN}add/", form(base_url="ftp://x", credential="nowhere")
    )
    assert "Write an address" in errors(response)["base_url"][0]
    response = admin_client.post(f"{ADMIN}add/", form(credential="nowhere"))
    assert "no secret 'nowhere'" in errors(response)["credential"][0]
    assert not LanguageModel.objects.exists()


def test_the_admin_filters_and_switches(admin_client: Client) -> None:
    row = add("llama")
    add("gpt", provider="openai")
    page = admin_client.get(f"{ADMIN}?provider=inhouse").content.decode()
    assert "inhouse:llama" in page
    assert "openai:gpt" not in page
    chosen = {"action": "deactivate", "_selected_action": [str(row.pk)]}
    assert admin_client.post(ADMIN, chosen).status_code == 302
    row.refresh_from_db()
    assert not row.is_active
    assert "is_active" in row.edited
    assert admin_client.post(f"{ADMIN}{row.pk}/delete/").status_code == 403


def test_the_admin_shows_choices(admin_client: Client) -> None:
    add("llama")
    selecting._recorded.clear()
    spec = RoleSpec(
        id="", name="", kind="agent", model_constraints={"tier": "balanced"}
    )
    digest = selecting.select(spec, Needs(), "demo:echo").digest
    choices = "/admin/roles/modelchoice/"
    assert "inhouse:llama" in admin_client.get(choices).content.decode()
    page = admin_client.get(f"{choices}{digest}/change/").content.decode()
    assert "demo models are only" in page
    assert admin_client.post(f"{choices}{digest}/delete/").status_code == 403
