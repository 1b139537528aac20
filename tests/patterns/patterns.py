"""The definitions of the patterns, and what it takes to run one of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core_orchestration.keys import walk
from tests.acceptance.bodies import Spans
from tests.acceptance.system import System, until

DEFINITIONS = Path(__file__).parent / "definitions"
# What the roles' names in the definitions stand for. A worker takes its time until it
# is released; a colleague is released apart from it.
ROLES = {
    "Worker": "test.span",
    "Colleague": "test.span",
    "Flattener": "data.flatten",
}
_numbers = itertools.count(1)


def names() -> list[str]:
    return sorted(path.stem for path in DEFINITIONS.glob("*.json"))


def read(name: str) -> dict[str, Any]:
    text = (DEFINITIONS / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def stem_of(name: str) -> str:
    """Return the file's name of the definition with a name."""
    return name.lower().replace(" ", "_").replace("-", "_")


def steps_of(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every step of a definition, at every depth."""
    for step in walk(document["steps"]):
        assert isinstance(step, dict)
        yield step


class Pattern:
    """One definition, made under a name of its own, with real roles."""

    def __init__(self, system: System, traces: Path, name: str) -> None:
        number = next(_numbers)
        self.system = system
        self.spans = Spans(traces, f"pattern {number} {name}")
        self._suffix = f" (pattern {number})"
        self._roles: dict[str, str] = {}
        self._made = self._make(read(name))

    def _make(self, document: dict[str, Any]) -> dict[str, Any]:
        own = document["name"]
        for step in steps_of(document):
            if "role_name" in step:
                step["role_name"] = self._role(step["role_name"])
            elif wanted := step.get("config", {}).get("orchestration_name"):
                step["config"]["orchestration_name"] = wanted + self._suffix
                if wanted != own:
                    self._make(read(stem_of(wanted)))
        document["name"] += self._suffix
        made: dict[str, Any] = self.system.post("orchestrations/", document, status=201)
        return made

    def _role(self, name: str) -> str:
        if name not in self._roles:
            arguments = {} if ROLES[name] != "test.span" else self._taking_time(name)
            config = {"arguments": arguments}
            self._roles[name] = self.system.role(ROLES[name], config=config)
        return self._roles[name]

    def _taking_time(self, role: str) -> dict[str, Any]:
        return self.spans.given(release=f"{self._gate(role)}.go")

    def _gate(self, role: str) -> str:
        return f"{self.spans.name} {role}"

    def start(self, **given: Any) -> str:
        return self.system.execute(self._made, given)

    def run(self, **given: Any) -> dict[str, Any]:
        return self.completed(self.start(**given))

    def completed(self, execution_id: str) -> dict[str, Any]:
        ended = self.system.finished(execution_id)
        assert ended["status"] == "completed", ended["error"]
        return ended

    # --- what was seen from outside --------------------------------------------

    def release(self, role: str = "Worker") -> None:
        """Let the work of a role end that takes long."""
        self.spans.release(self._gate(role))

    def have_begun(self, *who: str) -> None:
        until(lambda: set(who) <= set(self.spans.begun), what=f"{who} beginning")

    def have_ended(self, *who: str) -> None:
        until(lambda: set(who) <= set(self.spans.ended), what=f"{who} ending")

    @property
    def begun(self) -> list[str]:
        return self.spans.begun

    def in_this_order(self, *moments: str) -> bool:
        """Tell whether moments such as "end a" were seen once each, in this order."""
        seen = [" ".join(line) for line in self.spans.lines]
        return [each for each in seen if each in moments] == list(moments)

    def children(self, execution_id: str) -> list[dict[str, Any]]:
        rows = self.system.database.execute(
            "SELECT id FROM executions_execution WHERE parent_execution_id = %s"
            " ORDER BY id",
            [execution_id],
        ).fetchall()
        return [self.system.execution(str(row[0])) for row in rows]

    # --- what comes from outside -----------------------------------------------

    def signal(self, execution_id: str, name: str, payload: Any = None) -> Any:
        body = {"name": name, "payload": payload}
        path = f"executions/{execution_id}/signal/"
        return self.system.post(path, body, status=202)
