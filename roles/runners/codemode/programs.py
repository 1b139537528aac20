"""What a program may take, and what came of it, in JSON values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Outcome = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one program may take.

    `max_seconds` is of the clock on the wall and counts the calls of tools, too, but
    not the wait for a free worker. `max_depth` is of nested calls of functions.
    """

    max_seconds: float = 30.0
    max_memory_mb: int = 64
    max_calls: int = 50
    max_output_chars: int = 20_000
    max_code_chars: int = 50_000
    max_argument_chars: int = 200_000
    max_depth: int = 200


class ProgramError(TypedDict):
    """Why a program did not end well; `line` is of the program, where that is known."""

    type: str
    message: str
    line: int | None


class CallRecord(TypedDict):
    """One call of a tool, or the attempt of one; `tool` is the name for `call`."""

    tool: str
    arguments: Any
    outcome: Outcome
    detail: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """What a program printed, the value of its last expression, and what it called."""

    output: str
    result: Any
    error: ProgramError | None
    calls: list[CallRecord] = field(default_factory=list)
    duration_ms: int


class Ended(Exception):
    """The program is over because of a limit that it cannot catch."""

    def __init__(
        self,
        message: str,
        *,
        type: str,  # noqa: A002  (the contract's own word)
        line: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.type, self.line = message, type, line

    def as_error(self) -> ProgramError:
        return {"type": self.type, "message": self.message, "line": self.line}
