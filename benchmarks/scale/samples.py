"""
The few real executions that a seeded history is made of.

A history's rows are copies of theirs with other ids, owners and times, so that they
have all that the product itself would have written, whatever columns there are.
"""

from __future__ import annotations

from benchmarks.core.fleet import Fleet
from tests.acceptance.system import step

OWNERS = ("ada", "ben", "cleo", "rare")
WORKFLOWS, STEPS = 20, 10


def make(fleet: Fleet, workflows: int = WORKFLOWS) -> list[str]:
    """Run each of some orchestrations once; return their ids."""
    role = fleet.use("bench.report")
    made = [_made(fleet, role, number) for number in range(workflows)]
    given = {"customer": 4711, "region": "north", "items": [1, 2, 3]}
    for execution in [fleet.execute({"id": each}, given) for each in made]:
        fleet.finished(execution, seconds=60)
    for owner in OWNERS:
        fleet.database.execute(_PERSON, [owner])
    return made


def _made(fleet: Fleet, role: str, number: int) -> str:
    steps = [step(f"Part {place}", role) for place in range(STEPS)]
    made = fleet.orchestration(*steps, name=f"Order handling {number:02}")
    return str(made["id"])


_PERSON = """
INSERT INTO auth_user
  (username, password, is_superuser, is_staff, is_active, first_name, last_name,
   email, date_joined)
VALUES (%s, '', false, false, true, '', '', '', now())
"""
