"""
Paths: where a step run stands, and in which frames.

A frame is one run of a body: `refine[2]` the third turn of the loop `refine`,
`each[17]` the item 17 of a map, `route[billing]` a branch. A step's path is its
frame's and its key, `refine[2]/draft`; at the top it is the key alone. The top itself
is the frame without a path.
"""

from __future__ import annotations

TOP = ""
# Where what was done is undone, and where a failure is seen to: frames beside the top's
# own steps, one for each time.
UNWIND, ROLLBACK = "@unwind", "@rollback"
# Below them, the step that undoes: it has a frame for each run that it undoes.
UNDO = "@undo"
_PLAIN = str.maketrans("/[]", "|()")
_AS_IT_WAS = str.maketrans("|()", "/[]")


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


def is_beside(frame: str) -> bool:
    """Tell whether a frame stands beside the top, and in no step of it."""
    return frame.startswith((f"{UNWIND}[", f"{ROLLBACK}[")) and "/" not in frame


def undo_name(path: str) -> str:
    """Name the frame in which the step at `path` is undone."""
    return path.translate(_PLAIN)


def undone(name: str) -> str:
    """Return the path of the step that a frame undoes, from the frame's name."""
    return name.translate(_AS_IT_WAS)


def undoes(path: str) -> str | None:
    """Return the path of the step that the step at `path` undoes, if it undoes one."""
    frame = frame_of(path)
    return undone(name_of(frame)) if f"/{UNDO}[" in frame else None


def split(frame: str) -> list[tuple[str, str]]:
    """Take a frame apart, from the top: each container's key, and the run's name."""
    parts = (part.rstrip("]").partition("[") for part in frame.split("/") if part)
    return [(key, name) for key, _, name in parts]
