"""Where agents work: read for many at once, on their way to the first model."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User

from executions.agents import scene
from executions.agents.scene import NoSuchExecution, Scene
from executions.database import UNREACHABLE
from executions.models import Execution
from executions.spending import budgets
from executions.spending.budgets import known_to_be_none
from tests.integration.spending import budget, running, scene_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def as_with_a_pool(settings: Any) -> None:
    """Have threads give their connections back, as they do in an io worker."""
    settings.DB_POOL_SIZE = 1


def execution(**fields: Any) -> UUID:
    return running(**fields).run.execution_id


async def of_all(ids: list[UUID]) -> list[Any]:
    return await asyncio.gather(*map(scene.of, ids), return_exceptions=True)


def test_each_of_many_is_told_its_own_scene_and_those_above_it() -> None:
    user = User.objects.create(username=f"ada {uuid4()}")
    top, other = execution(), execution(created_by=user)
    below = execution(parent_execution_id=top, depth=1)

    found = asyncio.run(of_all([below, other, top, below]))

    assert [each.lineage for each in found] == [
        (below, top),
        (other,),
        (top,),
        (below, top),
    ]
    assert [each.depth for each in found] == [1, 0, 0, 1]
    assert [each.user_name for each in found] == ["", user.username, "", ""]
    assert found[1].orchestration_id == Execution.objects.get(pk=other).orchestration_id


def test_one_that_is_gone_takes_nobody_elses_answer_away() -> None:
    here, gone = execution(), uuid4()

    found = asyncio.run(of_all([gone, here, gone]))

    assert isinstance(found[0], NoSuchExecution)
    assert isinstance(found[2], NoSuchExecution)
    assert found[1].lineage == (here,)


def test_who_is_cancelled_takes_nobody_elses_answer_away() -> None:
    here = execution()

    async def one_gives_up() -> Scene:
        first, second = (asyncio.create_task(scene.of(here)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(one_gives_up()).lineage == (here,)


def test_what_the_database_has_to_say_is_said_to_all_and_the_next_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = execution()

    async def twice() -> tuple[Any, Scene]:
        with monkeypatch.context() as broken:
            broken.setattr(
                scene, "_SCENES", "SELECT pg_terminate_backend(pg_backend_pid())"
            )
            failed = await of_all([here, here, uuid4()])
        return failed, await scene.of(here)

    failed, after = asyncio.run(twice())

    assert all(isinstance(each, UNREACHABLE) for each in failed), failed
    assert after.lineage == (here,)


def test_no_budget_is_known_only_after_a_look_and_until_there_is_one() -> None:
    place = scene_of(running())
    budgets.forget()
    assert not known_to_be_none()

    budgets.applying(place)
    assert known_to_be_none()

    budget()
    budgets.applying(place)
    assert not known_to_be_none()
