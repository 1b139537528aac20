"""What goes wrong, and what is asked for, follow from the seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest

from core_orchestration.definition import parse
from executions.canvas import WINDOW
from tests.chaos.faults import ACTS
from tests.chaos.plan import LASTS, faults
from tests.chaos.workloads import FUNCTIONS, HTTP, SHAPES, catalog, requests

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_gives_the_same_faults_again(seed: int) -> None:
    assert faults(seed, 600) == faults(seed, 600)


def test_another_seed_gives_others() -> None:
    assert len({tuple(faults(seed, 600)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_longer_run_begins_like_a_shorter_one(seed: int) -> None:
    short, long = faults(seed, 180), faults(seed, 600)

    assert short == long[: len(short)]


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_come_in_order_and_are_over_in_time(seed: int) -> None:
    planned = faults(seed, 600)

    assert all(one.at < other.at for one, other in pairwise(planned))
    assert all(fault.at + fault.seconds <= 600 for fault in planned)
    assert all(0 <= fault.pick < 1 for fault in planned)


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_see_every_kind_in_turn(seed: int) -> None:
    planned = faults(seed, 600)
    done = Counter(fault.kind for fault in planned)

    assert done.keys() == LASTS.keys()
    assert 600 / 20 <= len(planned) <= 600 / 10


def test_some_strike_while_the_one_before_is_not_over() -> None:
    pairs = [pair for seed in SEEDS for pair in pairwise(faults(seed, 600))]
    overlapping = [one for one, other in pairs if other.at < one.at + one.seconds]

    assert 0.02 < len(overlapping) / len(pairs) < 0.3


def test_every_planned_kind_can_be_done() -> None:
    assert ACTS.keys() == LASTS.keys()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_gives_the_same_work_again(seed: int) -> None:
    assert catalog(seed) == catalog(seed)
    assert list(islice(requests(seed, 9), 50)) == list(islice(requests(seed, 9), 50))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_shape_is_there_and_has_roles_for_its_steps(seed: int) -> None:
    roles = {does: f"role of {does}" for does in (*FUNCTIONS, HTTP)}
    made = catalog(seed)

    assert {workload.shape for workload in made} == SHAPES.keys()
    for workload in made:
        steps = workload.with_roles(roles)
        assert len({step["name"] for step in steps}) == len(steps)
        assert all(step["role_name"] in roles.values() for step in steps)
        assert all("does" not in step for step in steps)


def test_some_groups_follow_groups_and_some_chains_exceed_a_window() -> None:
    made = {workload.shape: workload for workload in catalog(1)}
    blocks = parse({"steps": made["groups"].steps}).blocks

    assert [block.is_group for block in blocks[:2]] == [True, True]
    assert len(made["long_chain"].steps) > WINDOW
