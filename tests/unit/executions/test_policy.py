"""What becomes of an attempt that failed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_orchestration.definition import Step
from executions.policy import (
    LONGEST_MESSAGE,
    Failure,
    GiveUp,
    Retry,
    decide,
    retry_delay_s,
)
from executions.states import StepStatus
from tests.unit.executions.plans import policy_of

chances = st.floats(min_value=0, max_value=1, exclude_max=True)
any_text = st.text(st.characters(categories=("L", "N", "Cc", "Cs")), max_size=200)


def failure(**fields: Any) -> Failure:
    given = {"type": "exception", "message": "No.", "retryable": True, **fields}
    return Failure(**given)


def delay(tries: int, *, after: Failure | None = None, **fields: Any) -> float:
    return retry_delay_s(
        policy_of(**fields), after or failure(), tries=tries, chance=0.0
    )


def decided(step: Step, after: Failure, *, tries: int, chance: float) -> Retry | GiveUp:
    """Decide where there is always time for another attempt."""
    return decide(step, after, tries=tries, chance=chance, fits=lambda delay_s: True)


# --- whether to try again ---------------------------------------------------------


@pytest.mark.parametrize(
    ("tries", "max_retries", "again"),
    [(1, 0, False), (1, 1, True), (2, 1, False), (3, 3, True), (4, 3, False)],
)
def test_a_step_is_tried_max_retries_times_after_the_first(
    tries: int, max_retries: int, again: bool
) -> None:
    step = policy_of(max_retries=max_retries)

    verdict = decided(step, failure(), tries=tries, chance=0)

    assert isinstance(verdict, Retry) is again


def test_a_retry_that_the_steps_time_does_not_allow_is_not_made() -> None:
    step = policy_of(max_retries=5, retry_delay_ms=2000)

    verdict = decide(step, failure(), tries=1, chance=0, fits=lambda delay: delay < 2)

    assert verdict == GiveUp(status=StepStatus.FAILED, fatal=True)


def test_what_cannot_be_mended_is_not_tried_again() -> None:
    step = policy_of(max_retries=5)

    verdict = decided(step, failure(retryable=False), tries=1, chance=0)

    assert verdict == GiveUp(status=StepStatus.FAILED, fatal=True)


def test_what_the_other_side_asks_for_does_not_make_a_failure_retryable() -> None:
    step = policy_of(max_retries=5)
    fault = failure(retryable=False, retry_after_s=1.0)

    assert isinstance(decided(step, fault, tries=1, chance=0), GiveUp)


@pytest.mark.parametrize(
    ("timed_out", "status"),
    [(True, StepStatus.TIMED_OUT), (False, StepStatus.FAILED)],
)
@pytest.mark.parametrize(("on_error", "fatal"), [("fail", True), ("continue", False)])
def test_the_last_failure_says_how_the_step_ends_and_whether_all_ends(
    timed_out: bool, status: StepStatus, on_error: str, fatal: bool
) -> None:
    step = policy_of(on_error=on_error)

    verdict = decided(step, failure(timed_out=timed_out), tries=1, chance=0)

    assert verdict == GiveUp(status=status, fatal=fatal)


def test_a_time_out_is_tried_again_like_any_failure() -> None:
    step = policy_of(max_retries=1, retry_delay_ms=200)

    verdict = decided(step, failure(timed_out=True), tries=1, chance=0)

    assert verdict == Retry(delay_s=0.2)


def test_on_error_continue_does_not_stop_the_retries() -> None:
    step = policy_of(max_retries=1, on_error="continue")

    assert isinstance(decided(step, failure(), tries=1, chance=0), Retry)


# --- how long to wait -------------------------------------------------------------


@pytest.mark.parametrize(("tries", "seconds"), [(1, 1.0), (2, 1.0), (9, 1.0)])
def test_the_delay_is_constant_by_default(tries: int, seconds: float) -> None:
    assert delay(tries) == seconds


@pytest.mark.parametrize(("tries", "seconds"), [(1, 0.1), (2, 0.3), (3, 0.9)])
def test_the_delay_grows_by_its_factor(tries: int, seconds: float) -> None:
    assert delay(tries, retry_delay_ms=100, retry_backoff=3.0) == pytest.approx(seconds)


def test_growth_ends_at_the_longest_delay() -> None:
    fields: dict[str, Any] = {"retry_backoff": 10.0, "retry_max_delay_ms": 5000}

    assert [delay(tries, **fields) for tries in (1, 2, 3)] == [1.0, 5.0, 5.0]


def test_no_number_of_tries_is_too_large_to_reckon_with() -> None:
    assert delay(101, max_retries=100, retry_backoff=100.0) == 600.0


def test_a_delay_above_the_longest_one_is_cut_at_once() -> None:
    assert delay(1, retry_delay_ms=9000, retry_max_delay_ms=4000) == 4.0


def test_a_delay_of_zero_is_none() -> None:
    assert delay(7, retry_delay_ms=0, retry_backoff=2.0, retry_jitter=True) == 0.0


@settings(deadline=None)
@given(chances, st.integers(1, 101))
def test_jitter_takes_between_half_of_the_delay_and_all_of_it(
    chance: float, tries: int
) -> None:
    fields: dict[str, Any] = {"retry_backoff": 1.5, "retry_max_delay_ms": 30_000}
    full = delay(tries, **fields)

    spread = retry_delay_s(
        policy_of(retry_jitter=True, **fields), failure(), tries=tries, chance=chance
    )

    assert full / 2 <= spread <= full


@settings(deadline=None)
@given(chances)
def test_without_jitter_chance_plays_no_part(chance: float) -> None:
    assert retry_delay_s(policy_of(), failure(), tries=2, chance=chance) == 1.0


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (0.2, 1.0), (0.0, 1.0)])
def test_what_the_other_side_asks_for_counts_where_it_is_longer(
    asked: float, waited: float
) -> None:
    assert delay(1, after=failure(retry_after_s=asked)) == waited


def test_what_the_other_side_asks_for_is_neither_capped_nor_spread() -> None:
    fault = failure(retry_after_s=3600.0)

    assert delay(1, after=fault, retry_max_delay_ms=1000, retry_jitter=True) == 3600.0


# --- what is recorded -------------------------------------------------------------


def test_an_error_names_its_type_message_and_attempt() -> None:
    error = failure(type="http_error", message="503 from the shop").as_error(4)

    assert error == {
        "type": "http_error",
        "message": "503 from the shop",
        "attempt": 4,
    }


def test_a_message_keeps_no_character_that_the_database_refuses() -> None:
    error = failure(message="a\0b\ud800c").as_error(1)

    assert error["message"] == "a\ufffdb?c"


def test_an_endless_message_is_cut() -> None:
    assert len(failure(message="x" * 10**6).as_error(1)["message"]) == LONGEST_MESSAGE


@settings(deadline=None)
@given(any_text)
def test_every_message_can_be_stored(text: str) -> None:
    stored = json.dumps(failure(message=text).as_error(1), ensure_ascii=False)

    assert "\\u0000" not in stored
    assert stored.encode("utf-8")
