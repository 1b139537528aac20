"""
What spares PostgreSQL the partitions that hold nothing of an execution.

Step runs are divided by their own ids, which begin with their execution's moment. Who
names an execution alone, or an array of ids, has every partition visited; with the
bounds of those ids as well it is one, found each time that a planned statement runs.
Events are divided by their execution's id, which finds theirs.
"""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

_TAIL = (1 << 80) - 1  # what follows the moment

# Bounds are for partitions, not for the primary key: it would have all read that began
# in the same millisecond, be it a thousand executions. Of a plain BETWEEN PostgreSQL
# believes that it leaves a two-hundredth of a table, and of this far more: so it stays
# with the index of the execution, whatever it knows of the table.
_BETWEEN: LiteralString = """
  (s.id >= ANY (ARRAY[{lowest}, {lowest}]) AND s.id <= ANY (ARRAY[{highest}, {highest}]))
"""
# Of a step run `s`, by the parameters that `bounds` returns.
BOUNDED: LiteralString = _BETWEEN.format(lowest="%(lowest)s", highest="%(highest)s")


def bounds(*ids: UUID) -> dict[str, UUID]:
    """Bound the ids of executions' step runs, given an id of each or of one of its runs."""
    return {
        "lowest": UUID(int=min(ids).int & ~_TAIL),
        "highest": UUID(int=max(ids).int | _TAIL),
    }


# The same where PostgreSQL finds the executions, `e`. It computes the bounds once for
# each: OFFSET keeps it from doing so for every step run.
BOUNDS: LiteralString = """
LATERAL (
  SELECT (left(e.id::text, 13) || '-0000-0000-000000000000')::uuid AS lowest,
    (left(e.id::text, 13) || '-ffff-ffff-ffffffffffff')::uuid AS highest
  OFFSET 0) AS bound
"""
BOUNDED_EACH: LiteralString = _BETWEEN.format(
    lowest="bound.lowest", highest="bound.highest"
)
