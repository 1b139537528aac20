"""
The frames in which bodies run: made, opened, heard of, cut.

A container waits while its frames run. A frame that has ended is unheard until the
container has taken note of it, in the same transaction as of what follows from that:
so whoever dies in between leaves a row behind that says what is still to be done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from executions.bodies import EndedFrame, NewFrame
from executions.database import decoded, fetch, json_or_null, one_transaction
from executions.identity import step_run_id
from executions.lifecycle.claims import NewRun
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.outcomes import STOPPED
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.paths import frame_of, frame_path, name_of

# Frames are numbered beyond all steps: who looks a step up by its place among the
# steps of a version does not meet them.
_FIRST = 1 << 30


_OPEN: LiteralString = """
INSERT INTO executions_steprun
  (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes, fence,
   cursor, number, input, started_at)
SELECT new.id, %(execution)s, %(ordinal)s, new.path, %(key)s, '', 'pending', 0, 0, 1,
  0, new.number, new.given, NULL
FROM unnest(%(ids)s::uuid[], %(paths)s::text[], %(numbers)s::int[], %(given)s::jsonb[])
  AS new(id, path, number, given)
ON CONFLICT (id) DO NOTHING
RETURNING path
"""


def make_frames(container: NewRun, frames: Sequence[NewFrame]) -> None:
    """Make frames of a container, to be started later."""
    if not frames:
        return
    paths = [frame_path(container.path, frame.name) for frame in frames]
    params = {
        "execution": container.execution_id,
        "ordinal": _FIRST + container.ordinal,
        "key": container.key,
        "ids": [step_run_id(container.execution_id, path) for path in paths],
        "paths": paths,
        "numbers": [frame.number for frame in frames],
        "given": [json_or_null(frame.given) for frame in frames],
    }
    fetch(_OPEN, params)


_START: LiteralString = """
UPDATE executions_steprun s SET status = 'waiting', started_at = clock_timestamp()
WHERE s.id = ANY(%(ids)s) AND s.status = 'pending' RETURNING s.id
"""


def start_frames(container: NewRun, names: Sequence[str | int]) -> list[str]:
    """
    Open frames to their steps, and return their paths.

    The execution's row is held by the caller.
    """
    paths = [frame_path(container.path, name) for name in names]
    if paths:
        ids = [step_run_id(container.execution_id, path) for path in paths]
        fetch(_START, {"ids": ids})
    return paths


# Few are unheard of, whose index is to be used: so the other one is kept from it (`+ 0`).
_HEAR: LiteralString = f"""
UPDATE executions_steprun s SET heard = true
WHERE s.execution_id = %(execution)s AND s.heard = false
  AND s.ordinal + 0 = %(ordinal)s AND starts_with(s.path, %(inside)s) AND {BOUNDED}
RETURNING s.path, s.number, s.status = 'completed',
  CASE WHEN %(outputs)s THEN s.output END, s.error, s.state IS NOT NULL
"""


def hear(container: NewRun, *, outputs: bool) -> list[EndedFrame]:
    """
    Take note of the frames that have ended since the last time, in their order.

    The execution's row is held by the caller, who records what follows.
    """
    rows = fetch(_HEAR, _inside(container) | {"outputs": outputs})
    return _ended(rows)


_ALL: LiteralString = f"""
SELECT s.path, s.number, s.status = 'completed', s.output, s.error,
  s.state IS NOT NULL
FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.ordinal = %(ordinal)s
  AND starts_with(s.path, %(inside)s) AND {BOUNDED}
"""


def frames_of(container: NewRun) -> list[EndedFrame]:
    """Read all frames of a container with their outputs, in their order."""
    return _ended(fetch(_ALL, _inside(container)))


def _ended(rows: Sequence[tuple[Any, ...]]) -> list[EndedFrame]:
    ended = [
        EndedFrame(
            name=name_of(path),
            number=number,
            completed=completed,
            output=decoded(output),
            error=decoded(error),
            broken=broken,
        )
        for path, number, completed, output, error, broken in rows
    ]
    return sorted(ended, key=lambda frame: frame.number)


def _inside(container: NewRun) -> dict[str, Any]:
    return {
        "execution": container.execution_id,
        **bounds(container.execution_id),
        "ordinal": _FIRST + container.ordinal,
        "inside": f"{container.path}[",
    }


_CUT: LiteralString = f"""
WITH ended AS (SELECT 1),
{STOPPED.format(others="AND starts_with(s.path, %(inside)s)")},
told AS (
  INSERT INTO executions_event (execution_id, type, path)
  SELECT %(execution)s, 'step.cancelled', cut.path FROM cut)
SELECT count(*) FROM stopped
"""


def cut_frames(container: NewRun) -> int:
    """
    End what is still open in a container's frames; say how much there was.

    The execution's row is held by the caller, so that nothing begins meanwhile.
    """
    return int(fetch(_CUT, _inside(container))[0][0])


_CLOSE: LiteralString = """
UPDATE executions_steprun f SET
  status = %(status)s, output = %(output)s::jsonb, error = %(error)s::jsonb,
  heard = false, finished_at = clock_timestamp()
WHERE f.id = %(frame)s AND f.status = 'waiting' RETURNING f.id
"""


def close_frame(
    execution_id: UUID,
    path: str,
    *,
    output: Any = None,
    error: Mapping[str, Any] | None = None,
) -> bool:
    """
    End a frame whose every step is settled, or that cannot go on for an `error`.

    False when it has ended.
    """
    params = {
        "frame": step_run_id(execution_id, path),
        "status": "failed" if error else "completed",
        "output": json_or_null(output),
        "error": json_or_null(error),
    }
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(_CLOSE, params))


_END: LiteralString = f"""
WITH ended AS (
  UPDATE executions_steprun f SET
    status = %(status)s, output = %(output)s::jsonb, error = %(error)s::jsonb,
    state = %(state)s::jsonb, heard = false, finished_at = clock_timestamp()
  WHERE f.id = %(frame)s AND f.status = 'waiting'
  RETURNING f.path || '/' AS inside),
{STOPPED.format(others="AND starts_with(s.path, ended.inside)")},
told AS (
  INSERT INTO executions_event (execution_id, type, path)
  SELECT %(execution)s, 'step.cancelled', cut.path FROM cut)
SELECT inside FROM ended
"""


def break_frame(step: NewRun, path: str, *, output: Any) -> bool:
    """
    End a turn around a step, and the loop with it; what is still open in it is cut.

    The execution's row is held by the caller.
    """
    return _end(step, path, status="completed", output=output, state={"broken": True})


def fail_frame(step: NewRun, *, error: Mapping[str, Any]) -> bool:
    """End the frame of a step that no worker ever had; what is open in it is cut."""
    return _end(step, frame_of(step.path), status="failed", error=error)


def _end(
    step: NewRun,
    path: str,
    *,
    status: str,
    output: Any = None,
    error: Any = None,
    state: Any = None,
) -> bool:
    params = {
        "execution": step.execution_id,
        **bounds(step.execution_id),
        "frame": step_run_id(step.execution_id, path),
        "status": status,
        "output": json_or_null(output),
        "error": json_or_null(error),
        "state": json_or_null(state),
    }
    return bool(fetch(_END, params))


_MOVE: LiteralString = """
UPDATE executions_steprun f SET cursor = %(block)s
FROM executions_execution x
WHERE x.id = %(execution)s AND x.epoch = %(epoch)s AND x.status = 'running'
  AND x.cancel_request IS NULL
  AND f.id = %(frame)s AND f.cursor < %(block)s AND f.status = 'waiting'
RETURNING x.role_pins
"""


def advance_frame(
    execution_id: UUID, path: str, *, epoch: int, block: int
) -> dict[str, str] | None:
    """
    Move a frame on to a block; None when another message has done so.

    The winner, who alone sends what follows, gets the execution's role pins.
    """
    params = {
        "execution": execution_id,
        "frame": step_run_id(execution_id, path),
        "epoch": epoch,
        "block": block,
    }
    for (pins,) in fetch(_MOVE, params):
        return dict(decoded(pins))
    return None


_UNHEARD: LiteralString = """
SELECT DISTINCT s.execution_id, left(s.path, -strpos(reverse(s.path), '['))
FROM executions_steprun s
JOIN executions_execution e ON e.id = s.execution_id
WHERE s.heard = false AND s.finished_at < clock_timestamp() - %(age)s::interval
  AND e.status IN ('running', 'waiting') AND e.cancel_request IS NULL
LIMIT %(batch)s
"""


def unheard(*, age: Any, batch: int) -> list[tuple[UUID, str]]:
    """List containers, by execution and path, that ended frames wait for."""
    return [(row[0], row[1]) for row in fetch(_UNHEARD, {"age": age, "batch": batch})]
