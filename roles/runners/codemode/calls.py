"""
Make the calls of one program, one record each, and count them.

A name that was not offered is called, too: whoever answers refuses it, and that refusal
is how an attempt comes into the audit log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from pydantic_monty import ExcType, ExternalSettledResult

from roles.problems import did_you_mean
from roles.runners.codemode.arguments import Unusable, arguments_of, as_json
from roles.runners.codemode.naming import Modules
from roles.runners.codemode.programs import CallRecord, Ended, Limits, Outcome
from roles.runners.hosting import Parked, Refusal
from roles.runners.results import to_json

logger = logging.getLogger(__name__)

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]
Answer = ExternalSettledResult


class Calls:
    """Calls tools for a program; `records` has them in the order they were made."""

    def __init__(self, placed: Modules, call: Call, limits: Limits) -> None:
        self.records: list[CallRecord] = []
        self._placed, self._call, self._limits = placed, call, limits
        self._refused: set[str] = set()

    def name_of(self, module: str, function: str) -> str:
        """Return the tool's own name, or how the program spells what is no tool."""
        tool = self._placed.get(module, {}).get(function)
        return tool.name if tool else f"{module}.{function}"

    def has(self, module: str, function: str) -> bool:
        return function in self._placed.get(module, {})

    def make(
        self, module: str, function: str, given: Sequence[Any], named: Mapping[str, Any]
    ) -> Coroutine[Any, Any, Answer]:
        """
        Call a tool and return what the program is told, an exception perhaps.

        Raises Ended at once, before it is awaited, when there were too many calls.
        """
        record = self._begun(self.name_of(module, function))
        return self._timed(record, (module, function), given, named)

    async def refuse(self, module: str, function: str) -> None:
        """Have an attempt refused that came to no call; once for each name."""
        name = self.name_of(module, function)
        if name not in self._refused and not self.has(module, function):
            await self.make(module, function, (), {})

    def _begun(self, name: str) -> CallRecord:
        if len(self.records) >= self._limits.max_calls:
            raise Ended(
                f"The program called tools more than {self._limits.max_calls} times.",
                type="CallLimit",
            )
        record: CallRecord = {
            "tool": name,
            "arguments": {},
            "outcome": "failed",
            "detail": "It was not finished when the program ended.",
            "duration_ms": 0,
        }
        self.records.append(record)
        return record

    async def _timed(
        self,
        record: CallRecord,
        place: tuple[str, str],
        given: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Answer:
        started = time.monotonic()
        try:
            return await self._made(record, place, given, named)
        finally:
            record["duration_ms"] = round((time.monotonic() - started) * 1000)

    async def _made(
        self,
        record: CallRecord,
        place: tuple[str, str],
        given: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Answer:
        try:
            arguments = self._arguments(place, given, named)
            record["arguments"] = arguments
            result = await self._call(record["tool"], arguments)
            if not self.has(*place):
                raise Refusal(self._unknown(*place))  # noqa: TRY301
            value = to_json(result)
        except Unusable as problem:
            return _raised(record, "refused", str(problem), "TypeError")
        except Refusal as refusal:
            self._refused.add(record["tool"])
            return _raised(record, "refused", str(refusal) or "It was refused.")
        except (Parked, asyncio.CancelledError):
            record["detail"] = "The program was left while it waited for this."
            raise
        except Exception:  # its text may hold what no model may read
            logger.exception("A program's call of the tool %s failed.", record["tool"])
            return _raised(record, "failed", f"The tool {record['tool']} failed.")
        record["outcome"], record["detail"] = "done", ""
        return {"return_value": value}

    def _arguments(
        self, place: tuple[str, str], given: Sequence[Any], named: Mapping[str, Any]
    ) -> dict[str, Any]:
        module, function = place
        most = self._limits.max_argument_chars
        tool = self._placed.get(module, {}).get(function)
        if tool is not None:
            return arguments_of(tool, given, named, most)
        try:
            extra = {"arguments": as_json(list(given), most)} if given else {}
            return {**as_json(dict(named), most), **extra}
        except Unusable:
            return {}

    def _unknown(self, module: str, function: str) -> str:
        near = did_you_mean(function, self._placed.get(module, {}))
        return f"There is no tool {module}.{function}.{near}"


def _raised(
    record: CallRecord, outcome: Outcome, detail: str, type_: ExcType = "RuntimeError"
) -> Answer:
    record["outcome"], record["detail"] = outcome, detail
    return {"exc_type": type_, "message": detail}
