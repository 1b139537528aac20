"""A model that asked to be left alone is left alone by the whole fleet."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from rest_framework.test import APIClient

from roles import breakers
from roles.models import AuditEntry, Breaker
from tests.integration.answers import problem_of
from tests.integration.statements import statements

KEY = "openai:gpt-5:"


@pytest.fixture(autouse=True)
def new_process(db: None) -> Iterator[None]:
    breakers.forget()
    yield
    breakers.forget()


def pass_time(seconds: float, key: str = KEY) -> None:
    """Let a breaker's times lie so much further back, and this process ask anew."""
    span = timedelta(seconds=seconds)
    Breaker.objects.filter(key=key).update(
        open_until=F("open_until") - span, probe_until=F("probe_until") - span
    )
    breakers.forget()


def row() -> Breaker:
    return Breaker.objects.get()


def test_nobody_waits_while_no_breaker_is_open() -> None:
    assert breakers.admit(KEY) == breakers.Admission()


def test_breakers_that_are_closed_cost_no_statement() -> None:
    assert not breakers.is_known_closed(KEY)
    breakers.admit("another")
    with statements() as seen:
        for _ in range(100):
            assert breakers.admit(KEY).after_s is None
            breakers.close(KEY)
        assert breakers.is_known_closed(KEY)
    assert seen == []


def test_what_one_process_was_told_holds_for_another() -> None:
    breakers.trip(KEY, "429 Too Many Requests", 20)
    breakers.forget()  # as another process
    admission = breakers.admit(KEY, chance=0)
    assert admission.after_s == pytest.approx(20, abs=1)
    assert admission.detail == "429 Too Many Requests"
    assert not breakers.is_known_closed(KEY)
    assert breakers.admit("openai:gpt-5:another key").after_s is None


def test_a_breaker_known_to_be_open_costs_no_statement() -> None:
    breakers.admit(KEY)
    breakers.trip(KEY, "busy", 20)
    with statements() as seen:
        assert breakers.admit(KEY).after_s is not None
    assert seen == []


def test_those_who_wait_are_spread() -> None:
    breakers.trip(KEY, "busy", 20)
    waits = [breakers.admit(KEY, chance=chance).after_s for chance in (0.0, 1.0)]
    assert None not in waits
    assert waits[1] - waits[0] == pytest.approx(1, abs=0.2)  # type: ignore[operator]


def test_the_pause_doubles_with_each_probe_that_fails() -> None:
    pauses = []
    for _ in range(9):
        pauses.append(breakers.trip(KEY, "503", chance=0))
        pass_time(pauses[-1] + 1)
    assert pauses == pytest.approx([2, 4, 8, 16, 32, 64, 128, 240, 240], abs=0.5)
    assert breakers.trip(KEY, "503", chance=1) == pytest.approx(300, abs=0.5)


def test_calls_that_fail_together_count_once() -> None:
    for _ in range(5):
        breakers.trip(KEY, "429")
    assert row().failures == 1


def test_a_pause_gets_longer_but_not_shorter() -> None:
    breakers.trip(KEY, "first", 30)
    assert breakers.trip(KEY, "second", 5) == pytest.approx(30, abs=1)
    assert breakers.trip(KEY, "third") == pytest.approx(30, abs=1)
    assert breakers.trip(KEY, "fourth", 60) == pytest.approx(60, abs=1)
    assert row().reason == "fourth"


def test_only_the_word_after_a_probe_makes_it_shorter() -> None:
    breakers.trip(KEY, "straggler", 300)
    assert breakers.trip(KEY, "probe", is_probe=True) == pytest.approx(300, abs=1)
    pause = breakers.trip(KEY, "probe", 5, is_probe=True)
    assert pause == pytest.approx(5, abs=1)


@pytest.mark.parametrize(("asked", "given"), [(-5.0, 0.0), (10.0**9, 86_400.0)])
def test_no_pause_is_absurd(asked: float, given: float) -> None:
    assert breakers.trip(KEY, "busy", asked) == pytest.approx(given, abs=1)


def test_one_probe_is_let_through_and_its_success_closes() -> None:
    breakers.trip(KEY, "busy", 10)
    pass_time(11)
    assert breakers.admit(KEY).is_probe
    second = breakers.admit(KEY, chance=0.5)
    assert second.after_s == pytest.approx(2)
    assert not second.is_probe
    breakers.close(KEY)
    assert not Breaker.objects.exists()
    assert breakers.admit(KEY) == breakers.Admission()


def test_a_probe_that_fails_leaves_the_way_to_the_next() -> None:
    breakers.trip(KEY, "busy", 10)
    pass_time(11)
    assert breakers.admit(KEY).is_probe
    breakers.trip(KEY, "still busy", 10, is_probe=True)
    assert breakers.admit(KEY).after_s is not None
    pass_time(11)
    assert breakers.admit(KEY).is_probe
    assert row().failures == 2


def test_a_probe_that_dies_is_replaced() -> None:
    breakers.trip(KEY, "busy", 1)
    pass_time(2)
    assert breakers.admit(KEY).is_probe
    pass_time(breakers.PROBE_S - 2)
    assert not breakers.admit(KEY).is_probe
    pass_time(3)
    assert breakers.admit(KEY).is_probe


def test_a_call_from_before_the_pause_closes_nothing() -> None:
    breakers.trip(KEY, "busy", 30)
    breakers.admit(KEY)
    breakers.close(KEY)
    assert Breaker.objects.exists()
    assert breakers.admit(KEY).after_s is not None


def test_a_success_that_knows_of_no_breaker_asks_nobody() -> None:
    breakers.trip(KEY, "busy", 0)
    breakers.forget()
    with statements() as seen:
        breakers.close(KEY)
    assert seen == []


def test_what_another_process_closed_is_open_to_all() -> None:
    breakers.trip(KEY, "busy", 1)
    pass_time(2)
    breakers._seen()
    Breaker.objects.all().delete()
    assert breakers.admit(KEY) == breakers.Admission()
    assert breakers.is_known_closed(KEY)


def test_what_another_process_learned_is_heard() -> None:
    breakers.trip(KEY, "busy", 1)
    pass_time(2)
    breakers._seen()
    Breaker.objects.update(open_until=timezone.now() + timedelta(seconds=50))
    assert breakers.admit(KEY, chance=0).after_s == pytest.approx(50, abs=1)


def test_a_key_too_long_for_the_table_is_still_one_key() -> None:
    long = "p:" + "m" * 400
    breakers.trip(long + "1", "busy", 30)
    breakers.forget()
    assert breakers.admit(long + "1").after_s is not None
    assert breakers.admit(long + "2").after_s is None


def test_a_reason_is_cut_to_what_the_table_takes() -> None:
    breakers.trip(KEY, "x" * 5000, 30)
    assert len(row().reason) == 500


@pytest.mark.django_db(transaction=True)
def test_of_those_who_race_for_the_probe_one_wins(transactional_db: None) -> None:
    breakers.trip(KEY, "busy", 0)
    breakers._seen()
    racers = 8
    line = Barrier(racers)

    def race(_: int) -> breakers.Admission:
        try:
            connection.ensure_connection()
            line.wait()
            return breakers.admit(KEY)
        finally:
            connection.close()

    for _ in range(5):
        Breaker.objects.update(probe_until=None)
        with ThreadPoolExecutor(racers) as pool:
            found = list(pool.map(race, range(racers)))
        assert [each.is_probe for each in found].count(True) == 1
        assert all(1 <= each.after_s <= 3 for each in found if each.after_s is not None)


@pytest.mark.django_db(transaction=True)
def test_failures_at_once_open_it_once(transactional_db: None) -> None:
    racers = 8
    line = Barrier(racers)

    def fail(number: int) -> None:
        try:
            connection.ensure_connection()
            line.wait()
            breakers.trip(KEY, "busy", float(number))
        finally:
            connection.close()

    with ThreadPoolExecutor(racers) as pool:
        list(pool.map(fail, range(racers)))
    assert row().open_until > timezone.now() + timedelta(seconds=racers - 3)


BREAKERS = "/api/v1/breakers/"


def test_everybody_sees_what_is_left_alone(api: APIClient) -> None:
    breakers.trip("openai:gpt-5:", "busy", 30)
    breakers.trip("anthropic:claude:key", "busy", 30)
    shown = api.get(BREAKERS).json()["results"]
    assert [each["key"] for each in shown] == ["anthropic:claude:key", "openai:gpt-5:"]
    assert shown[0].keys() == {
        "key",
        "open_until",
        "reason",
        "failures",
        "probe_until",
        "updated_at",
    }
    assert [each.key for each in Breaker.objects.all()] == [
        each["key"] for each in shown
    ]


@pytest.mark.parametrize("key", [KEY, "groq:meta/llama-3:own key"])
def test_staff_close_one_and_it_is_on_record(staff_api: APIClient, key: str) -> None:
    breakers.trip(key, "busy", 30)
    assert staff_api.delete(f"{BREAKERS}{key}/").status_code == 204
    assert not Breaker.objects.exists()
    entry = AuditEntry.objects.get(object_type="breaker")
    assert (entry.action, entry.object_id) == ("breaker.close", key)
    assert staff_api.delete(f"{BREAKERS}{key}/").status_code == 404


def test_others_close_none(api: APIClient) -> None:
    breakers.trip(KEY, "busy", 30)
    response = api.delete(f"{BREAKERS}{KEY}/")
    assert problem_of(response)["code"] == "permission_denied"
    assert response.status_code == 403
    assert Breaker.objects.exists()


def test_the_admin_closes_them_too(admin_client: Any) -> None:
    breakers.trip(KEY, "busy", 30)
    page = "/admin/roles/breaker/"
    assert KEY in admin_client.get(page).content.decode()
    chosen = {"action": "close_breakers", "_selected_action": [KEY]}
    assert admin_client.post(page, chosen).status_code == 302
    assert not Breaker.objects.exists()
