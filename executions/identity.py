"""Names that are computed, not drawn: a step run's id and its path."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID


def step_run_id(execution_id: UUID, path: str) -> UUID:
    """
    Name the run of the step at `path` of an execution.

    The same pair always gives the same id, so an effect's idempotency key outlives
    even a row that a crash of the database lost. The form is version 7 of RFC 9562:
    the execution's 48 bits of milliseconds, then 74 bits of a hash in place of
    random ones, so that the ids of one execution lie close together.
    """
    digest = blake2b(path.encode(), key=execution_id.bytes, digest_size=10).digest()
    tail = int.from_bytes(digest, "big")
    moment = execution_id.int >> 80
    return UUID(
        int=(moment << 80)
        | (0x7 << 76)
        | ((tail >> 68) << 64)
        | (0b10 << 62)
        | (tail & ((1 << 62) - 1))
    )
