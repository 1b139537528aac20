"""Ids of step runs: computed, in the form of version 7, and never two alike."""

from __future__ import annotations

from uuid import RFC_4122, UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from executions.identity import step_run_id

EXECUTION = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
paths = st.text(min_size=1, max_size=60)


@settings(deadline=None)
@given(st.uuids(version=4), paths)
def test_an_id_has_the_form_of_version_7(execution: UUID, path: str) -> None:
    made = step_run_id(execution, path)

    assert (made.version, made.variant) == (7, RFC_4122)


@settings(deadline=None)
@given(paths)
def test_an_id_keeps_the_milliseconds_of_its_execution(path: str) -> None:
    execution = uuid7()

    assert step_run_id(execution, path).int >> 80 == execution.int >> 80


@settings(deadline=None)
@given(st.uuids(), paths)
def test_the_same_pair_always_gives_the_same_id(execution: UUID, path: str) -> None:
    assert step_run_id(execution, path) == step_run_id(UUID(str(execution)), path)


@settings(deadline=None)
@given(st.uuids(), paths, paths)
def test_two_paths_of_an_execution_differ(
    execution: UUID, one: str, other: str
) -> None:
    assume(one != other)

    assert step_run_id(execution, one) != step_run_id(execution, other)


@settings(deadline=None)
@given(paths)
def test_two_executions_of_one_millisecond_differ(path: str) -> None:
    assert step_run_id(EXECUTION, path) != step_run_id(OTHER, path)


def test_an_id_is_not_the_id_of_its_execution() -> None:
    assert step_run_id(EXECUTION, "") != EXECUTION


def test_many_steps_of_many_executions_never_meet() -> None:
    made = {
        step_run_id(UUID(int=EXECUTION.int + execution), f"loop/{turn}/step")
        for execution in range(50)
        for turn in range(400)
    }

    assert len(made) == 50 * 400


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("fetch", "01890a5d-ac96-77be-abbd-eafadc2713bd"),
        ("loop/3/grüße", "01890a5d-ac96-79d3-8c96-ed4a349f6277"),
    ],
)
def test_ids_stay_what_they_were_in_earlier_releases(path: str, expected: str) -> None:
    # An effect's idempotency key has to survive an upgrade between two attempts.
    assert str(step_run_id(EXECUTION, path)) == expected
