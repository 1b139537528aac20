"""
The systems that are compared: how each is started, and which cases it is given.

A case is left out where a system has no such thing, or where it would take minutes
to show again what a smaller size has shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
PROTOCOL = HERE / "protocol"
CORE = "core"

_BASIC = ("W1", "W2/100", "W2/1000", "W3/200", "W4/launch", "W5/50", "W5/500")
_MANY_WAIT, _CHILDREN, _POST = "W3/1000", "W2/100/children", "W4/post"
_LONGER = ("W5/5000",)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """
    `packages` says whether it has an environment of its own to be installed.

    `without` names the servers in which it has no part.
    """

    name: str
    title: str
    folder: Path
    cases: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    packages: bool = True
    without: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        return f"bench_{self.name.replace('-', '_')}"


SYSTEMS = (
    System(
        name=CORE,
        title="C.O.R.E. Orchestration",
        folder=HERE / CORE,
        packages=False,
        cases=(*_BASIC, _MANY_WAIT, _POST, *_LONGER, "W5/10000"),
    ),
    System(
        name="celery-redis",
        title="Celery canvas, results in Valkey",
        folder=PEERS / "celery",
        env={"RESULTS": "redis"},
        without=("PostgreSQL",),
        cases=(*_BASIC, _MANY_WAIT),
    ),
    System(
        name="celery-django",
        title="Celery canvas, results in PostgreSQL",
        folder=PEERS / "celery",
        env={"RESULTS": "django"},
        # Each thread holds a connection of PostgreSQL: more wait than there can be.
        cases=tuple(case for case in _BASIC if case != "W3/200"),
    ),
    System(
        name="dbos",
        title="DBOS, in the client's process",
        folder=PEERS / "dbos",
        env={"DBOS_MODE": "inproc"},
        without=("Valkey",),
        cases=(*_BASIC, _CHILDREN),
    ),
    System(
        name="dbos-queue",
        title="DBOS, by a queue and two workers",
        folder=PEERS / "dbos",
        env={"DBOS_MODE": "queue"},
        without=("Valkey",),
        cases=("W1", "W2/100", _CHILDREN, "W4/launch", "W5/50"),
    ),
    System(
        name="restate",
        title="Restate",
        folder=PEERS / "restate",
        without=("PostgreSQL", "Valkey"),
        cases=(*_BASIC, _CHILDREN, _MANY_WAIT, _POST, *_LONGER),
    ),
    System(
        name="langgraph",
        title="LangGraph, checkpoints in PostgreSQL",
        folder=PEERS / "langgraph",
        without=("Valkey",),
        cases=_BASIC,
    ),
)
BY_NAME = {system.name: system for system in SYSTEMS}
