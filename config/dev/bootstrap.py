"""Run the one command that migrates, seeds and hands out the first credentials."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from config.dev.guard import Guard
from config.dev.process import Child, Spec, ending
from config.dev.terminal import DevError, tail

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What the command printed."""

    username: str
    password: str
    api_key: str
    demo_execution_id: str | None


def bootstrap(spec: Spec, guard: Guard, check: Callable[[], None]) -> Seed:
    spec.log.unlink(missing_ok=True)
    with tempfile.TemporaryFile() as output:
        child = Child(spec, guard, tied=True, output=output)
        try:
            code = _ended(child, check)
        finally:
            child.finish()
        if code != 0:
            raise DevError(
                f"The database could not be prepared: manage.py bootstrap "
                f"{ending(code)}. The end of {spec.log}:\n{tail(spec.log)}"
            )
        return _parsed(output, spec)


def _ended(child: Child, check: Callable[[], None]) -> int:
    while (code := child.wait(POLL_SECONDS)) is None:
        check()
    return code


def _parsed(output: IO[bytes], spec: Spec) -> Seed:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    try:
        found = json.loads(lines[-1])
        return Seed(
            username=found["username"],
            password=found["password"],
            api_key=found["api_key"],
            demo_execution_id=found["demo_execution_id"],
        )
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise DevError(
            "manage.py bootstrap ended well but printed no credentials "
            f"({error!r}). Its messages are in {spec.log}"
        ) from error
