"""What follows when a step has begun, or ended, that the engine does itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Ending(Enum):
    """What became of a step that ended."""

    SETTLED = auto()  # what comes behind it follows
    FATAL = auto()  # its frame has ended with it or, at the top, the execution
    LEFT = auto()  # a frame around it has ended
    OVER = auto()  # the execution has


@dataclass(frozen=True, slots=True, kw_only=True)
class Upshot:
    """Frames whose steps are to be sent, or the way on behind the step."""

    started: Sequence[str] = ()  # by path
    under_way: int = 0  # how many frames of the step are open, those included
    apart: bool = (
        False  # any of them may end the others, so that none waits for another
    )
    ending: Ending | None = None
    left: str = ""  # the frame around that has ended


NOTHING = Upshot()
