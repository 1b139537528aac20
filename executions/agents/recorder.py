"""
Put on record what agents say and do, many at once.

Whoever has something to record waits until it is committed. What comes in meanwhile is
written together, in one transaction, as soon as that one has ended. While the database
is away everybody waits, each at most until the deadline of its attempt; the records wait
on, and are written once it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from executions.database import UNREACHABLE, one_transaction
from executions.spending import exchanges, ledger
from executions.spending.exchanges import Entry
from executions.spending.ledger import Call
from roles.toolkit.threads import in_thread

log = logging.getLogger(__name__)

_AGAIN_S = 0.5
_MOST = 500  # records in one transaction

Record = Call | Entry


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A record, and who waits for it to be kept."""

    record: Record
    kept: asyncio.Future[None]


class Recorder:
    """The records of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def keep(self, record: Record) -> None:
        """Return once the record is committed; raises what the database has to say."""
        waiting = Waiting(record, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all(), name="recorder")
        # Who is cancelled leaves its record here: what was answered has to be paid.
        await asyncio.shield(waiting.kept)

    async def _write_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            await self._write_group(group)

    async def _write_group(self, group: Sequence[Waiting]) -> None:
        """Write a group; if it is refused, each by itself, so that one is to blame."""
        while group := [each for each in group if not each.kept.done()]:
            try:
                await in_thread(_write, [each.record for each in group])
            except UNREACHABLE as error:
                log.warning("Agents wait for PostgreSQL: %s", error)
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception as error:
                if len(group) == 1:
                    group[0].kept.set_exception(error)
                    return
                log.exception("%d records of agents are written singly.", len(group))
                for each in group:
                    await self._write_group([each])
                return
            for each in group:
                if not each.kept.done():
                    each.kept.set_result(None)


def _write(records: Sequence[Record]) -> None:
    calls = [each for each in records if isinstance(each, Call)]
    entries = [each for each in records if isinstance(each, Entry)]
    with one_transaction():
        if calls:
            ledger.record(calls)
        if entries:
            exchanges.keep(entries)


_recorders: WeakKeyDictionary[asyncio.AbstractEventLoop, Recorder] = WeakKeyDictionary()


async def keep(record: Record) -> None:
    """Put something on record, together with what others have to record just now."""
    loop = asyncio.get_running_loop()
    await _recorders.setdefault(loop, Recorder()).keep(record)
