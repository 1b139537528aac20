"""
Where an agent works: its execution, those above it, and on whose behalf it runs.

Many agents may ask at once: who asks while others' answers are being read is answered
with the next statement, and the steps of one execution share an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID
from weakref import WeakKeyDictionary

from executions.database import fetch
from roles.toolkit.threads import in_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What an agent's calls are charged to, and whose rights its tools have."""

    orchestration_id: UUID
    user_id: int | None
    user_name: str
    api_key_id: UUID | None
    depth: int
    lineage: tuple[UUID, ...]  # the execution, and those above it


class NoSuchExecution(Exception):
    """The execution of a step that runs is not on record any more."""


class Reader:
    """Those who wait on one event loop, by what they ask for."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, asyncio.Future[Scene]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, execution_id: UUID) -> Scene:
        """Return the scene as of now; raises what the database has to say."""
        found = self._waiting.get(execution_id)
        if found is None:
            found = asyncio.get_running_loop().create_future()
            self._waiting[execution_id] = found
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all(), name="scenes")
        return await asyncio.shield(found)  # it may be others' answer, too

    async def _read_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, {}
            try:
                scenes = await in_thread(read, list(group))
            except Exception as error:  # noqa: BLE001  (for those who wait)
                for each in group.values():
                    each.set_exception(error)
                continue
            for execution_id, each in group.items():
                if scene := scenes.get(execution_id):
                    each.set_result(scene)
                else:
                    each.set_exception(NoSuchExecution(str(execution_id)))


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, Reader] = WeakKeyDictionary()


async def of(execution_id: UUID) -> Scene:
    """Read where a step works, together with what others ask for just now."""
    loop = asyncio.get_running_loop()
    return await _readers.setdefault(loop, Reader()).read(execution_id)


_SCENES: LiteralString = """
WITH RECURSIVE above AS (
  SELECT x.id AS asked, x.id, x.parent_execution_id, 0 AS height
  FROM executions_execution x WHERE x.id = ANY(%(executions)s)
  UNION ALL
  SELECT above.asked, x.id, x.parent_execution_id, above.height + 1
  FROM above JOIN executions_execution x ON x.id = above.parent_execution_id
  WHERE above.height < 100),
lines AS (
  SELECT asked, array_agg(id ORDER BY height) AS lineage FROM above GROUP BY asked)
SELECT x.id, x.orchestration_id, x.created_by_id, coalesce(u.username, ''),
  x.api_key_id, x.depth, lines.lineage
FROM lines JOIN executions_execution x ON x.id = lines.asked
LEFT JOIN auth_user u ON u.id = x.created_by_id
"""


def read(execution_ids: Collection[UUID]) -> Mapping[UUID, Scene]:
    """Read them with one statement; an execution is there while a step of it runs."""
    rows = fetch(_SCENES, {"executions": list(execution_ids)})
    return {
        execution: Scene(
            orchestration_id=orchestration,
            user_id=user,
            user_name=name,
            api_key_id=key,
            depth=depth,
            lineage=tuple(lineage),
        )
        for execution, orchestration, user, name, key, depth, lineage in rows
    }
