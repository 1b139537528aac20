"""Orchestrations in the admin: a page is a document, and errors stand at its fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core_orchestration import drafts
from core_orchestration.models import Orchestration, OrchestrationVersion
from roles.models import Role
from tests.integration.pages import (
    PAGES,
    page,
    shown_step,
    step,
    step_errors,
    stored,
)

LIMITS = ("total_timeout_ms", "queue_timeout_ms", "at_most_once")

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(
        User.objects.create(username="root", is_staff=True, is_superuser=True)
    )
    return client


@pytest.fixture
def role() -> Role:
    return Role.objects.create(
        name="Shouter", kind="function", config={"function": "text.upper"}
    )


@pytest.fixture
def saved(role: Role) -> Orchestration:
    return drafts.save(
        {
            "name": "Two steps",
            "steps": [
                {"name": "First", "role_id": str(role.pk)},
                {"name": "Second", "role_name": "Shouter", "max_retries": 2},
            ],
        }
    )


def limits_of(orchestration: Orchestration) -> list[tuple[Any, ...]]:
    return list(orchestration.step_rows.values_list(*LIMITS))


def test_a_valid_page_is_saved_and_published(admin: Client, role: Role) -> None:
    data = page(
        step("First", role=str(role.pk), role_name=""),
        step("Second", input_mapping='"{{ context.first }}"', max_retries=3),
        tags="a,b",
        output='{"text": "{{ context.second }}"}',
    )
    response = admin.post(PAGES + "add/", data)
    assert response.status_code == 302
    made = Orchestration.objects.get()
    assert made.tags == ["a", "b"]
    assert made.published is not None
    first, second = made.published.definition["steps"]
    assert (first["key"], first["role_id"]) == ("first", str(role.pk))
    assert (second["input_mapping"], second["max_retries"]) == (
        "{{ context.first }}",
        3,
    )
    assert made.created_by is not None


def test_a_steps_limits_are_entered_shown_and_emptied(
    admin: Client, role: Role
) -> None:
    entered = {"total_timeout_ms": 9, "queue_timeout_ms": 7}
    data = page(step("First", **entered, at_most_once="on"), step("Second"))
    assert admin.post(PAGES + "add/", data).status_code == 302
    made = Orchestration.objects.get()
    assert limits_of(made) == [(9, 7, True), (None, None, False)]
    address = f"{PAGES}{made.pk}/change/"
    first = shown_step(admin.get(address), 0)
    assert [first[name].value() for name in LIMITS] == [9, 7, True]
    assert "needs_attention" in str(first["at_most_once"].help_text)
    forms = stored(made, first={"queue_timeout_ms": 8})
    assert admin.post(address, page(*forms)).status_code == 302
    assert limits_of(made) == [(None, 8, False), (None, None, False)]


def test_problems_with_a_steps_limits_stand_at_their_fields(
    admin: Client, role: Role
) -> None:
    wrong = {"total_timeout_ms": 0, "queue_timeout_ms": 366 * 86_400_000 + 1}
    response = admin.post(PAGES + "add/", page(step("First"), step("Second", **wrong)))
    assert not step_errors(response, 0)
    assert step_errors(response, 1).keys() == wrong.keys()
    assert not Orchestration.objects.exists()


def test_problems_stand_at_the_step_and_the_field(admin: Client, role: Role) -> None:
    data = page(
        step("First"),
        step("Second", input_mapping='"{{ context.frist }}"'),
        step("Third", role_name="Shuoter"),
        step("Fourth", condition='{"field": "output", "operator": "~", "value": 1}'),
    )
    response = admin.post(PAGES + "add/", data)
    assert not step_errors(response, 0)
    assert "first" in step_errors(response, 1)["input_mapping"][0]
    assert "Shouter" in step_errors(response, 2)["role_name"][0]
    assert "condition" in step_errors(response, 3)
    assert not Orchestration.objects.exists()


def test_the_order_entered_decides_which_step_comes_first(
    admin: Client, role: Role
) -> None:
    late = step("Uses", order=2, input_mapping='"{{ context.made }}"')
    admin.post(PAGES + "add/", page(late, step("Made", order=1)))
    keys = [row.key for row in Orchestration.objects.get().step_rows.all()]
    assert keys == ["made", "uses"]


def test_a_problem_finds_its_form_whatever_the_order(admin: Client, role: Role) -> None:
    wrong = step("Uses", order=1, input_mapping='"{{ context.made }}"')
    response = admin.post(PAGES + "add/", page(wrong, step("Made", order=2)))
    assert "input_mapping" in step_errors(response, 0)
    assert not step_errors(response, 1)


def test_a_problem_of_the_whole_stands_at_its_field(admin: Client, role: Role) -> None:
    response = admin.post(
        PAGES + "add/", page(step("A"), output='"{{ context.nothing }}"')
    )
    assert response.status_code == 200
    assert "output" in response.context["adminform"].form.errors
    assert not Orchestration.objects.exists()


@pytest.mark.parametrize("steps", [[], [step("Same", key="k"), step("Other", key="k")]])
def test_what_can_never_run_is_refused(
    admin: Client, role: Role, steps: list[Any]
) -> None:
    response = admin.post(PAGES + "add/", page(*steps))
    assert response.status_code == 200
    assert response.context["errors"]
    assert not Orchestration.objects.exists()


def test_a_name_that_is_taken_is_refused(admin: Client, saved: Orchestration) -> None:
    response = admin.post(PAGES + "add/", page(step("A"), name=saved.name))
    assert "name" in response.context["adminform"].form.errors


def test_a_page_that_is_saved_as_it_is_keeps_its_version(
    admin: Client, saved: Orchestration
) -> None:
    before = saved.published_id
    address = f"{PAGES}{saved.pk}/change/"
    assert admin.get(address).status_code == 200
    response = admin.post(address, page(*stored(saved), name=saved.name))
    assert response.status_code == 302
    saved.refresh_from_db()
    assert saved.published_id == before


def test_an_edited_step_makes_the_next_version(
    admin: Client, saved: Orchestration
) -> None:
    forms = stored(saved, second={"input_mapping": '"{{ context.first }}!"'})
    admin.post(f"{PAGES}{saved.pk}/change/", page(*forms, name=saved.name))
    saved.refresh_from_db()
    assert saved.published is not None
    assert saved.published.number == 2
    shown = saved.published.definition["steps"][1]
    assert (shown["input_mapping"], shown["max_retries"]) == ("{{ context.first }}!", 2)


def test_keys_can_be_swapped_and_steps_deleted(
    admin: Client, saved: Orchestration
) -> None:
    swapped = stored(saved, first={"key": "second"}, second={"key": "first"})
    admin.post(f"{PAGES}{saved.pk}/change/", page(*swapped, name=saved.name))
    names = dict(saved.step_rows.values_list("key", "name"))
    assert names == {"second": "First", "first": "Second"}
    saved.refresh_from_db()
    forms = stored(saved, first={"DELETE": "on"})
    admin.post(f"{PAGES}{saved.pk}/change/", page(*forms, name=saved.name))
    assert list(saved.step_rows.values_list("key", flat=True)) == ["second"]


def test_a_step_inside_a_step_that_does_not_exist_is_refused(
    admin: Client, role: Role
) -> None:
    response = admin.post(PAGES + "add/", page(step("A"), step("B", inside="nobody")))
    assert "inside" in step_errors(response, 1)


def holder(name: str, step_type: str, **changes: Any) -> dict[str, Any]:
    fields = {"key": name, "role_name": "", **changes}
    return step(name, step_type=step_type, **fields)


LIMITED = json.dumps({"max_iterations": 3})


@pytest.fixture
def nested(admin: Client, role: Role) -> Orchestration:
    """An orchestration whose page was filled in: a loop around two branches."""
    data = page(
        holder("outer", "loop", config=LIMITED),
        holder("both", "parallel", inside="outer", order=5),
        step("Last", key="last"),
        step("A", key="a", inside="both", branch="left"),
        step("B", key="b", inside="both", branch="left"),
        step("C", key="c", inside="both"),
        step("First", key="first", inside="outer", order=1),
        name="Nested",
    )
    response = admin.post(PAGES + "add/", data)
    assert response.status_code == 302, response.context["errors"]
    return Orchestration.objects.get(name="Nested")


def test_bodies_are_entered_by_naming_the_step_that_holds_each(
    nested: Orchestration,
) -> None:
    outer, last = drafts.document_of(nested)["steps"]
    assert (outer["key"], last["key"]) == ("outer", "last")
    assert [each["key"] for each in outer["steps"]] == ["first", "both"]
    inner = outer["steps"][1]["steps"]
    assert [(each["key"], each["branch"]) for each in inner] == [
        ("a", "left"),
        ("b", "left"),
        ("c", None),
    ]


def test_a_page_shows_each_step_before_those_of_its_body(
    admin: Client, nested: Orchestration
) -> None:
    response = admin.get(f"{PAGES}{nested.pk}/change/")
    assert response.status_code == 200
    shown = response.context["inline_admin_formsets"][0].formset.initial_forms
    places = [(each["key"].value(), each["inside"].value()) for each in shown]
    assert places == [
        ("outer", None),
        ("first", "outer"),
        ("both", "outer"),
        ("a", "both"),
        ("b", "both"),
        ("c", "both"),
        ("last", None),
    ]
    content = response.content.decode()
    for name in ("inside", "branch", "config"):
        assert f'name="step_rows-0-{name}"' in content
    for kind in ("loop", "map", "branch", "break", "stop"):
        assert f'<option value="{kind}"' in content


def test_a_page_with_bodies_that_is_saved_as_it_is_keeps_its_version(
    admin: Client, nested: Orchestration
) -> None:
    before = nested.published_id
    address = f"{PAGES}{nested.pk}/change/"
    response = admin.post(address, page(*stored(nested), name=nested.name))
    assert response.status_code == 302
    nested.refresh_from_db()
    assert nested.published_id == before


def test_steps_are_moved_between_bodies_and_branches(
    admin: Client, nested: Orchestration
) -> None:
    forms = stored(nested, c={"inside": "outer"}, b={"branch": "right"})
    address = f"{PAGES}{nested.pk}/change/"
    assert admin.post(address, page(*forms, name=nested.name)).status_code == 302
    outer = drafts.document_of(nested)["steps"][0]
    assert {each["key"] for each in outer["steps"]} == {"first", "both", "c"}
    both = next(each for each in outer["steps"] if each["key"] == "both")
    assert [each["branch"] for each in both["steps"]] == ["left", "right"]


def test_a_step_is_not_deleted_from_around_its_body(
    admin: Client, nested: Orchestration
) -> None:
    forms = stored(nested, both={"DELETE": "on"})
    address = f"{PAGES}{nested.pk}/change/"
    response = admin.post(address, page(*forms, name=nested.name))
    keys = [form["key"] for form in forms]
    assert "inside" in step_errors(response, keys.index("a"))
    gone = {key: {"DELETE": "on"} for key in ("both", "a", "b", "c")}
    forms = stored(nested, **gone)
    assert admin.post(address, page(*forms, name=nested.name)).status_code == 302
    assert set(nested.step_rows.values_list("key", flat=True)) == {
        "outer",
        "first",
        "last",
    }


def test_problems_inside_bodies_stand_at_their_steps_and_fields(
    admin: Client, role: Role
) -> None:
    data = page(
        holder("outer", "loop", config="{}"),
        step("Draft", key="draft", inside="outer", branch="x"),
        holder("leave", "break", inside="outer"),
        step("After", input_mapping='"{{ context.draft }}"'),
        holder("lonely", "map", config='{"items": [1]}', role_name="Shouter"),
    )
    response = admin.post(PAGES + "add/", data)
    assert "max_iterations" in step_errors(response, 0)["config"][0]
    assert "branch" in step_errors(response, 1)
    assert "condition" in step_errors(response, 2)["__all__"][0]
    assert "context.outer" in step_errors(response, 3)["input_mapping"][0]
    assert step_errors(response, 4).keys() == {"__all__", "role_name"}
    assert not Orchestration.objects.exists()


def test_steps_inside_each_other_are_refused(admin: Client, role: Role) -> None:
    data = page(
        holder("a", "loop", config=LIMITED, inside="b"),
        holder("b", "loop", config=LIMITED, inside="a"),
        step("C"),
    )
    response = admin.post(PAGES + "add/", data)
    assert "inside" in step_errors(response, 0)
    assert "inside" in step_errors(response, 1)


def test_who_may_only_look_sees_bodies_too(
    client: Client, nested: Orchestration
) -> None:
    viewer = User.objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    response = client.get(f"{PAGES}{nested.pk}/change/")
    assert response.status_code == 200
    assert "left" in response.content.decode()


def test_the_page_shows_versions_to_be_read(
    admin: Client, saved: Orchestration
) -> None:
    version = saved.published
    assert version is not None
    link = f"/admin/core_orchestration/orchestrationversion/{version.pk}/change/"
    assert link in admin.get(f"{PAGES}{saved.pk}/change/").content.decode()
    assert "max_retries" in admin.get(link).content.decode()
    assert admin.post(link, {"number": 9}).status_code == 403
    assert (
        admin.get("/admin/core_orchestration/orchestrationversion/").status_code == 200
    )


def test_markup_is_escaped(admin: Client, role: Role) -> None:
    evil = "<script>alert(1)</script>"
    made = drafts.save(
        {
            "name": evil,
            "tags": [evil],
            "steps": [{"name": evil, "key": "a", "role_name": "Shouter"}],
        }
    )
    for address in (PAGES, f"{PAGES}{made.pk}/change/"):
        assert evil not in admin.get(address).content.decode()


def act(admin: Client, action: str, *chosen: Orchestration) -> str:
    data = {"action": action, "_selected_action": [str(each.pk) for each in chosen]}
    return admin.post(PAGES, data, follow=True).content.decode()


def test_a_draft_made_elsewhere_is_published(
    admin: Client, saved: Orchestration
) -> None:
    document = drafts.document_of(saved)
    document["steps"][0]["max_retries"] = 5
    drafts.save(document, orchestration=saved, publish=False)
    assert "Published Two steps v2" in act(admin, "publish", saved)


def test_a_draft_whose_role_is_gone_is_not_published(
    admin: Client, saved: Orchestration
) -> None:
    saved.step_rows.update(role=None, role_name="Gone")
    assert "is not published" in act(admin, "publish", saved)
    assert OrchestrationVersion.objects.count() == 1


def test_orchestrations_are_switched_off_and_on(
    admin: Client, saved: Orchestration
) -> None:
    for action, active in (("deactivate", False), ("activate", True)):
        act(admin, action, saved)
        saved.refresh_from_db()
        assert saved.is_active is active


def test_archived_ones_leave_the_list_and_cannot_be_edited(
    admin: Client, saved: Orchestration
) -> None:
    act(admin, "archive", saved)
    assert "Two steps" not in admin.get(PAGES).content.decode()
    assert "Two steps" in admin.get(PAGES, {"archived": "yes"}).content.decode()
    address = f"{PAGES}{saved.pk}/change/"
    assert admin.get(address).status_code == 200
    assert admin.post(address, page(*stored(saved))).status_code == 403


def test_nothing_is_deleted(admin: Client, saved: Orchestration) -> None:
    assert admin.post(f"{PAGES}{saved.pk}/delete/").status_code == 403


def test_a_role_in_use_is_not_deleted(admin: Client, saved: Orchestration) -> None:
    role = Role.objects.get()
    saved.step_rows.update(role=None, role_name="Shouter")
    address = f"/admin/roles/role/{role.pk}/delete/"
    assert "Two steps" in admin.get(address).content.decode()
    admin.post(address, {"post": "yes"})
    assert Role.objects.filter(pk=role.pk).exists()


def test_the_list_costs_the_same_for_many(
    admin: Client, role: Role, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        drafts.save(
            {
                "name": f"O{number}",
                "tags": ["t"],
                "steps": [{"name": "A", "role_name": "Shouter"}],
            }
        )
    with django_assert_max_num_queries(7):
        assert admin.get(PAGES, {"tag": "t"}).status_code == 200


def test_json_in_a_step_is_checked_at_its_field(admin: Client, role: Role) -> None:
    response = admin.post(PAGES + "add/", page(step("A", config="{")))
    assert "config" in step_errors(response, 0)
    big = json.dumps({"a": "\0"})
    response = admin.post(PAGES + "add/", page(step("A", input_mapping=big)))
    assert "input_mapping" in step_errors(response, 0)
