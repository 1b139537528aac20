"""
Who acts: a person, a key, or a step of an execution.

Interfaces say so once, where a request comes in (`acting_as`); whoever records a change
asks here. Outside of any it is the system itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Channel = Literal["api", "admin", "agent", "mcp", "command", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who is behind a change; an agent is a role that does a step of an execution."""

    channel: Channel = "system"
    user_id: int | None = None
    user_name: str = ""
    api_key_id: str | None = None
    execution_id: str | None = None
    step_path: str = ""
    role_id: str | None = None
    role_name: str = ""

    @property
    def provenance(self) -> dict[str, str] | None:
        """Spell what an agent's creations carry; None for everybody else."""
        if self.execution_id is None:
            return None
        return {
            "execution_id": self.execution_id,
            "step_path": self.step_path,
            "role_name": self.role_name,
        }


SYSTEM = Actor()
_actor: ContextVar[Actor | Callable[[], Actor]] = ContextVar("actor", default=SYSTEM)


def actor() -> Actor:
    """Return who acts here and now."""
    who = _actor.get()
    return who if isinstance(who, Actor) else who()


@contextmanager
def acting_as(who: Actor | Callable[[], Actor]) -> Iterator[None]:
    """
    Let everything inside be done by `who`.

    A request's actor is known only once its view has authenticated it, and is needed
    only if it changes something: a function is called whenever somebody asks.
    """
    token = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(token)
