"""Steps that hold a body, as a client writes them, and what is seen of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.system import System, until

Written = dict[str, Any]
NEVER = {"field": "context.input.no_such_thing", "operator": "exists"}


def inner(key: str, role: str, **fields: Any) -> Written:
    """Write a step that a role does; `given` is its input_mapping."""
    if "given" in fields:
        fields["input_mapping"] = fields.pop("given")
    return {"key": key, "role_name": role, **fields}


def loop(
    key: str, config: Mapping[str, Any], *steps: Written, **fields: Any
) -> Written:
    return _holder("loop", key, {"max_iterations": 10, **config}, steps, fields)


def each(key: str, items: Any, *steps: Written, **fields: Any) -> Written:
    """Write a map; fields of its config are given as `config`."""
    config = {"items": items, **fields.pop("config", {})}
    return _holder("map", key, config, steps, fields)


def route(
    key: str, config: Mapping[str, Any], *steps: Written, **fields: Any
) -> Written:
    return _holder("branch", key, config, steps, fields)


def abreast(
    key: str, config: Mapping[str, Any], *steps: Written, **fields: Any
) -> Written:
    return _holder("parallel", key, config, steps, fields)


def _holder(
    step_type: str,
    key: str,
    config: Mapping[str, Any],
    steps: Sequence[Written],
    fields: Mapping[str, Any],
) -> Written:
    return {
        "key": key,
        "step_type": step_type,
        "config": dict(config),
        "steps": list(steps),
        **fields,
    }


def leave(key: str, condition: Any = None, **fields: Any) -> Written:
    """Write a break."""
    return {"key": key, "step_type": "break", "condition": condition, **fields}


def stop(key: str, config: Mapping[str, Any] | None = None, **fields: Any) -> Written:
    return {"key": key, "step_type": "stop", "config": dict(config or {}), **fields}


def when(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def case(branch: str, condition: Mapping[str, Any]) -> dict[str, Any]:
    return {"branch": branch, "condition": condition}


# --- what came of it --------------------------------------------------------------


def paths(execution: Mapping[str, Any]) -> list[str]:
    return [log["path"] for log in execution["step_logs"]]


def by_path(execution: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Map the paths of the step logs to a field of theirs."""
    return {log["path"]: log[field] for log in execution["step_logs"]}


def seen_at(system: System, execution_id: str, path: str, status: str) -> Any:
    """Wait until the step run at a path has a status; return the execution."""

    def there() -> Any:
        found = system.execution(execution_id)
        return found if by_path(found, "status").get(path) == status else None

    return until(there, what=f"{path} {status}")


def steer(system: System, execution_id: str, verb: str) -> Any:
    return system.post(f"executions/{execution_id}/{verb}/", {}, status=200)


def has_status(system: System, execution_id: str, status: str) -> Any:
    def there() -> bool:
        return bool(system.execution(execution_id)["status"] == status)

    return until(there, what=status)


class Spans:
    """What the work of `test.span` left behind: who began and who ended, in order."""

    def __init__(self, traces: Path, name: str) -> None:
        self.folder, self.name = traces, name

    def given(self, **fields: Any) -> dict[str, Any]:
        return {"trace": self.name, "release": f"{self.name}.go", **fields}

    def release(self, which: str = "") -> None:
        """Let those end that hold; `which` names a release of their own."""
        (self.folder / f"{which or self.name}.go").touch()

    @property
    def lines(self) -> list[list[str]]:
        path = self.folder / self.name
        text = path.read_text() if path.exists() else ""
        return [line.split(" ", 1) for line in text.splitlines()]

    @property
    def begun(self) -> list[str]:
        return [who for what, who in self.lines if what == "begin"]

    @property
    def ended(self) -> list[str]:
        return [who for what, who in self.lines if what == "end"]

    @property
    def most_at_once(self) -> int:
        under_way = most = 0
        for what, _ in self.lines:
            under_way += 1 if what == "begin" else -1
            most = max(most, under_way)
        return most

    def have_begun(self, count: int) -> None:
        until(lambda: len(self.begun) >= count, what=f"{count} beginnings")
