"""
The contract between the engine and whoever does a step's work.

A runner is plain Python: it gets a role's frozen picture, the rendered input and
the facts of this attempt, and returns a result or raises a classified error. It
knows no database and no queue; whether and when to try again is the engine's say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from logging import Logger, LoggerAdapter

    from roles.runners.hosting import Host

Pool = Literal["cpu", "io"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """A role as it was when the execution started; edits never reach it."""

    id: str
    name: str
    kind: str
    base_prompt: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    needs_tools: bool = False
    model_constraints: Mapping[str, Any] = field(default_factory=dict)
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The facts of one attempt that a runner, or a function, may want to know."""

    execution_id: str
    step_key: str
    number: int  # 1 for the first attempt
    idempotency_key: str  # the step run's id: the same for every attempt
    deadline: datetime  # aware; the attempt is ended at this time
    logger: Logger | LoggerAdapter[Any]
    host: Host | None = None  # for agents; None outside of any engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the work came to: a JSON value, and what it cost."""

    output: Any
    usage: Mapping[str, Any] | None = None


class RunnerError(Exception):
    """
    The work failed; `retryable` says whether trying again could help.

    `type` is a short snake_case word that users see in `error.type`;
    `retry_after_s` is what the other side asked for, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str,  # noqa: A002  (the contract's own word)
        retryable: bool,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class Runner(ABC):
    """Does the work of one kind of role."""

    @abstractmethod
    def run(
        self,
        role: RoleSpec,
        input: Any,  # noqa: A002  (the contract's own word)
        attempt: Attempt,
    ) -> Result | Awaitable[Result]:
        """
        Do the work once.

        An awaitable is driven by the worker's event loop and cancelled at the
        deadline; a plain call runs in the worker's own thread.
        Raises RunnerError for a classified failure; any other exception counts
        as a failure worth another attempt.
        """

    def given(self, role: RoleSpec, input: Any) -> Any:  # noqa: A002
        """Return what the work will be done on: the role's `input_schema` is for it."""
        return input

    def pool(self, role: RoleSpec) -> Pool:
        """Name the pool for this role: `io` for work that awaits, else `cpu`."""
        return "io"

    def problems(self, role: RoleSpec) -> list[tuple[str, str]]:
        """
        List what is wrong with a role's configuration.

        Each is a pair of a JSON pointer below the role (`/config/url`) and an
        English sentence; an empty list means that the role can run.
        """
        return []
