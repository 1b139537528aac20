"""Patterns as a client writes them, with roles whose calls are counted from outside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.system import System

_numbers = itertools.count(1)


class Cast:
    """The roles of one pattern; what they are called for is seen in their traces."""

    def __init__(self, system: System, traces: Path) -> None:
        self.system, self.folder = system, traces
        self.name = f"cast-{next(_numbers)}"

    def says(self, part: str, *lines: Any) -> str:
        """Make a role that says one line after the other, whatever it is asked."""
        return self._role(part, "think.script", script=list(lines))

    def knows(self, part: str, by: str, table: dict[str, Any]) -> str:
        """Make a role that looks its answer up by a field of what it is given."""
        return self._role(part, "think.table", by=by, table=table)

    def sprouts(self, part: str) -> str:
        return self._role(part, "think.sprout")

    def _role(self, part: str, function: str, **arguments: Any) -> str:
        said = {"trace": self._trace(part), **arguments}
        return self.system.role(function, config={"arguments": said})

    def _trace(self, part: str) -> str:
        return f"{self.name}.{part}"

    def calls(self, *parts: str) -> dict[str, int]:
        """Count the attempts of each part."""
        return {part: len(self._lines(self._trace(part))) for part in parts}

    def given(self, part: str) -> list[Any]:
        """List what a part was given, in the order of its calls."""
        lines = self._lines(f"{self._trace(part)}.given")
        return [json.loads(line) for line in lines]

    def _lines(self, name: str) -> Sequence[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def fails(self, message: str, then: Any) -> dict[str, Any]:
        """Write a line that fails until `mend` was called."""
        return {"fail": message, "until": f"{self.name}.mended", "then": then}

    def mend(self) -> None:
        (self.folder / f"{self.name}.mended").touch()


def pattern(step_type: str, config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"key": "it", "step_type": step_type, "config": config, **fields}
