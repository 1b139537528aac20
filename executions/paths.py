"""
Paths: where a step run stands, and in which frames.

A frame is one run of a body: `refine[2]` the third turn of the loop `refine`,
`each[17]` the item 17 of a map, `route[billing]` a branch. A step's path is its
frame's and its key, `refine[2]/draft`; at the top it is the key alone. The top itself
is the frame without a path.
"""

from __future__ import annotations

TOP = ""


def step_path(frame: str, key: str) -> str:
    return f"{frame}/{key}" if frame else key


def frame_path(container: str, name: str | int) -> str:
    """Name one run of the body that the step at `container` holds."""
    return f"{container}[{name}]"


def frame_of(path: str) -> str:
    """Name the frame that the step at `path` stands in."""
    return path.rpartition("/")[0]


def container_of(frame: str) -> str:
    """Return the path of the step that holds a frame's body."""
    return frame[: frame.rindex("[")]


def name_of(frame: str) -> str:
    """Return what tells a frame from the others of its container."""
    return frame[frame.rindex("[") + 1 : -1]


def split(frame: str) -> list[tuple[str, str]]:
    """Take a frame apart, from the top: each container's key, and the run's name."""
    parts = (part.rstrip("]").partition("[") for part in frame.split("/") if part)
    return [(key, name) for key, _, name in parts]
