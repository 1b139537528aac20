"""
Named places in the engine where a test can make this process fail.

`CORE_FAIL_AT` lists what is to happen where, separated by commas; unset, as in every
production, passing a place costs one call of a function with an empty loop. Each entry is

    point[@step]:action[*times]

with the action `kill` (SIGKILL to this process), `raise` (FailPoint), or
`stall=SECONDS`. `@step` limits it to steps with that path. `*times` limits how often
it happens in all processes together: what happened is counted by files in the folder
that `CORE_FAIL_DIR` names, since a process that was killed remembers nothing.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from re import compile as pattern
from threading import Event

POINTS = frozenset(
    {
        "after_claim",  # a step is this worker's own, its work has not begun
        "before_commit",  # the work is done, its outcome not recorded
        "after_commit",  # the outcome is recorded, nothing was sent yet
        "after_publish",  # what goes on is sent, the message not acknowledged
        "before_part",  # a group's member is recorded, the join not looked at
        "after_part",  # the last member is counted, the join not published
        "in_dispatch",  # an execution is recorded or moved on, its canvas not sent
        "in_resend",  # the reconciler has raised the epoch, nothing was sent
        "in_beat",  # the heartbeat is about to renew the lease
    }
)
_ENTRY = pattern(
    r"(?P<point>\w+)(?:@(?P<step>[^:*]+))?:(?P<action>kill|raise|stall)"
    r"(?:=(?P<seconds>\d+(?:\.\d+)?))?(?:\*(?P<times>\d+))?"
)


class FailPoint(Exception):
    """CORE_FAIL_AT asked for this error."""


class BadFailPoint(ValueError):
    """CORE_FAIL_AT cannot be read: write point[@step]:action[*times]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What happens at a point: `times` in all, or at every passing."""

    point: str
    step: str | None
    action: str
    seconds: float
    times: int | None

    def happens(self, step: str | None) -> bool:
        if self.step is not None and self.step != step:
            return False
        return self.times is None or self._is_counted_in()

    def _is_counted_in(self) -> bool:
        """Take one of the `times` files that nobody has taken yet."""
        folder = Path(os.environ["CORE_FAIL_DIR"])
        for number in range(self.times or 0):
            name = f"{self.point}-{self.step or 'any'}-{self.action}-{number}"
            try:
                (folder / name.replace("/", "_")).touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False

    def do(self) -> None:
        match self.action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise":
                raise FailPoint(f"{self.point}, as CORE_FAIL_AT asked")
            case "stall":
                Event().wait(self.seconds)


def parse(text: str) -> list[Failure]:
    """Read CORE_FAIL_AT; raises BadFailPoint, which names the entry."""
    return [_parse(entry.strip()) for entry in text.split(",") if entry.strip()]


def _parse(entry: str) -> Failure:
    read = _ENTRY.fullmatch(entry)
    if read is None or read["point"] not in POINTS:
        known = ", ".join(sorted(POINTS))
        raise BadFailPoint(f"{BadFailPoint.__doc__} Not {entry!r}; points: {known}.")
    return Failure(
        point=read["point"],
        step=read["step"],
        action=read["action"],
        seconds=float(read["seconds"] or 0),
        times=int(read["times"]) if read["times"] else None,
    )


_planned = parse(os.environ.get("CORE_FAIL_AT", ""))


def reach(point: str, step: str | None = None) -> None:
    """Pass a point; `step` is the path of the step that it is about."""
    for failure in _planned:
        if failure.point == point and failure.happens(step):
            failure.do()
