"""
The contract of tools: what agents, their programs and MCP clients may call.

A tool has a name, a description and a JSON Schema of its arguments. It is plain about
refusals: a ToolRefused is for the caller to read, and to correct itself by.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from roles.acting import Actor
from roles.problems import Problem

if TYPE_CHECKING:
    from roles.toolkit.policy import Policy

LONGEST_NAME = 64


class ToolRefused(Exception):
    """The call was not done; `code` is a snake_case word, `problems` say what to mend."""

    def __init__(
        self, detail: str, *, code: str, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(detail)
        self.detail, self.code, self.problems = detail, code, list(problems)

    def as_json(self) -> dict[str, Any]:
        """Write it as the caller reads it."""
        return {
            "error": {
                "code": self.code,
                "detail": self.detail,
                "errors": [
                    {"pointer": each.pointer, "code": each.code, "detail": each.detail}
                    for each in self.problems
                ],
            }
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    On whose behalf a tool is called, and within what limits.

    `user_id` owns what is made, and sees what may be seen. Without a `policy` only the
    user's own rights limit the call. `depth` is that of the execution the caller works
    in; `call_key` names this call, the same at every attempt of it. `grants` are the
    entries of `tools` that the caller has: the dispatcher sets them from the box.
    `approval` is what its role says of the people who decide about its calls.
    """

    actor: Actor
    user_id: int | None
    policy: Policy | None = None
    depth: int = 0
    call_key: str = ""
    grants: frozenset[str] = frozenset()
    approval: Mapping[str, Any] | None = None

    @property
    def provenance(self) -> dict[str, str] | None:
        """Spell what the things carry that an agent makes by this call."""
        made_by = self.actor.provenance
        if made_by is None or not self.call_key:
            return made_by
        return {**made_by, "call_key": self.call_key}


Call = Callable[[Mapping[str, Any], Caller], Any | Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """
    Something that can be called by name, with arguments that fit `schema`.

    `call` returns a JSON value or raises ToolRefused. One that is `blocking` is run in
    a thread, where it may use the database; others are coroutine functions.
    """

    name: str  # such as "system.create_role"
    description: str
    schema: Mapping[str, Any]
    call: Call
    grant: str  # the entry of a role's `tools` that grants it
    blocking: bool = True
    needs_approval: bool = False
    is_audited: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """Spell the name as providers take it: they refuse dots, colons and blanks."""
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", self.name)
        if len(plain) <= LONGEST_NAME:
            return plain
        # Names that begin alike stay apart.
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"{plain[: LONGEST_NAME - 9]}_{digest}"
