"""
Answer what a program asks of its host, one pause after the other.

The program's only ways out are calls and attributes of its modules, imports of those,
and sleeping; whatever else it asks for is denied by the sandbox itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import Any
from uuid import UUID

from pydantic_monty import (
    AsyncFunctionSnapshot,
    AsyncFutureSnapshot,
    AsyncMontySession,
    AsyncNameLookupSnapshot,
    AsyncSnapshot,
    ClassInstance,
    ExcType,
    ExternalFuture,
    ExternalResult,
    MontyComplete,
)

from roles.runners.codemode.calls import Answer, Calls
from roles.runners.codemode.naming import Modules
from roles.runners.codemode.printing import Printed
from roles.runners.codemode.programs import Ended
from roles.runners.codemode.stubs import class_of, imported

_LATER: ExternalFuture = {"future": ...}
_SHADOWED = {"compile": None, "eval": None, "exec": None}


class Driver:
    """Runs one program to its end; has to be closed, for calls may still be on."""

    def __init__(self, placed: Modules, calls: Calls, longest_sleep: float) -> None:
        self._placed, self._calls, self._longest = placed, calls, longest_sleep
        self._instances = {
            module: ClassInstance(_class(class_of(module))()) for module in placed
        }
        self._modules: dict[UUID | None, str] = {
            instance.id: module for module, instance in self._instances.items()
        }
        self._tasks: dict[int, asyncio.Task[Answer]] = {}

    async def run(
        self, session: AsyncMontySession, code: str, printed: Printed
    ) -> MontyComplete:
        """Return the completed program; raises what ended it otherwise."""
        snapshot = await session.feed_start(
            code, inputs={**self._instances, **_SHADOWED}, print_callback=printed
        )
        while not isinstance(snapshot, MontyComplete):
            snapshot = await self._answered(snapshot, code)
        if self._tasks:  # calls that the program never waited for
            await asyncio.gather(*self._tasks.values())
        return snapshot

    async def close(self) -> None:
        """Leave no call behind."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _answered(self, snapshot: AsyncSnapshot, code: str) -> AsyncSnapshot:
        try:
            if isinstance(snapshot, AsyncFutureSnapshot):
                return await snapshot.resume(await self._settled(snapshot))
            if isinstance(snapshot, AsyncNameLookupSnapshot):
                return await self._attribute(snapshot)
            if not isinstance(snapshot, AsyncFunctionSnapshot):
                return snapshot
            if snapshot.is_os_function:
                return await self._system_call(snapshot)
            return await snapshot.resume(self._call(snapshot))
        except Ended as end:
            end.line = end.line or line_of(code, snapshot)
            raise

    def _call(self, snapshot: AsyncFunctionSnapshot) -> ExternalResult:
        name = snapshot.function_name
        module = self._modules.get(snapshot.object_id)
        if snapshot.object_id is None:
            module, _, name = name.rpartition(".")
        if not module or module not in self._placed:
            return _error("NameError", f"name {name!r} is not defined")
        if name.startswith("_"):
            return _error("TypeError", f"{module} cannot be called like this")
        making = self._calls.make(module, name, snapshot.args, snapshot.kwargs)
        return self._later(snapshot.call_id, making)

    def _later(self, call_id: int, work: Coroutine[Any, Any, Answer]) -> ExternalFuture:
        self._tasks[call_id] = asyncio.create_task(work)
        return _LATER

    async def _settled(self, snapshot: AsyncFutureSnapshot) -> dict[int, Answer]:
        """Wait for the first of the calls that the program waits for."""
        waited = {
            call_id: self._tasks[call_id] for call_id in snapshot.pending_call_ids
        }
        await asyncio.wait(waited.values(), return_when=asyncio.FIRST_COMPLETED)
        done = {call_id: task for call_id, task in waited.items() if task.done()}
        results = {call_id: task.result() for call_id, task in done.items()}
        for call_id in done:
            del self._tasks[call_id]
        return results

    async def _attribute(self, snapshot: AsyncNameLookupSnapshot) -> AsyncSnapshot:
        name, module = snapshot.variable_name, self._modules.get(snapshot.object_id)
        if module is None or name.startswith("_"):
            return await snapshot.resume()
        if not self._calls.has(module, name):
            await self._calls.refuse(module, name)
            return await snapshot.resume()
        return await snapshot.resume(value=_function(f"{module}.{name}"))

    async def _system_call(self, snapshot: AsyncFunctionSnapshot) -> AsyncSnapshot:
        name, args = str(snapshot.function_name), snapshot.args
        if name == "import_stubs":
            known = [each for each in args[0] if each in self._placed]
            stubs = {each: imported(self._placed, each) for each in known}
            return await snapshot.resume({"return_value": stubs})
        if name == "import" and args[0] in self._placed:
            return await snapshot.resume({"return_value": self._instances[args[0]]})
        if name == "system.async_sleep":
            return await snapshot.resume(
                self._later(snapshot.call_id, self._slept(args[0]))
            )
        if name == "system.sleep":
            return await snapshot.resume(await self._slept(args[0]))
        return await snapshot.resume_not_handled()

    async def _slept(self, seconds: float) -> Answer:
        await asyncio.sleep(min(max(0.0, seconds), self._longest))
        return {"return_value": None}


def line_of(code: str, snapshot: Any) -> int | None:
    """Tell at which line the program paused."""
    start = snapshot.position.start
    return code.encode(errors="replace")[:start].count(b"\n") + 1


@cache
def _class(name: str) -> type[Any]:
    """Make the class of a module's instance; the sandbox knows classes by their names."""
    return type(name, (), {"__module__": __name__, "__slots__": ()})


def _function(name: str) -> Any:
    """Make what stands for a tool that is passed around before it is called."""

    def tool() -> None:
        """Never run: the sandbox calls it by its name."""

    tool.__name__ = name
    return tool


def _error(type_: ExcType, message: str) -> Answer:
    return {"exc_type": type_, "message": message}
