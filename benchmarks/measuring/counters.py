"""
What PostgreSQL and Valkey count themselves, read before and after a repetition.

PostgreSQL's backends report their transactions at most once a second, so `settle`
passes that second; idle ones may keep their last for ten, which `rest` passes. The
log position is exact at any moment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.servers import Servers

SETTLE_S, REST_S = 1.1, 10.5
_COUNTED = """
SELECT xact_commit, xact_rollback, (pg_current_wal_lsn() - '0/0')::bigint
FROM pg_stat_database WHERE datname = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals since the servers' start, or a difference of two of them."""

    commits: int
    rollbacks: int
    wal_bytes: int
    broker_commands: int
    broker_bytes: int

    @classmethod
    def now(cls, servers: Servers, database: str) -> Self:
        with servers.connect() as admin:
            row = admin.execute(_COUNTED, [database]).fetchone()
        commits, rollbacks, wal = row or (0, 0, 0)
        stats = broker_stats(servers)
        return cls(
            commits=commits,
            rollbacks=rollbacks,
            wal_bytes=wal,
            broker_commands=stats["total_commands_processed"],
            broker_bytes=stats["total_net_input_bytes"]
            + stats["total_net_output_bytes"],
        )

    def since(self, before: Counters) -> Counters:
        return Counters(
            commits=self.commits - before.commits,
            rollbacks=self.rollbacks - before.rollbacks,
            wal_bytes=self.wal_bytes - before.wal_bytes,
            broker_commands=self.broker_commands - before.broker_commands,
            broker_bytes=self.broker_bytes - before.broker_bytes,
        )


def broker_stats(servers: Servers) -> dict[str, Any]:
    with servers.broker() as broker:
        return dict(broker.info("stats"))


def settle() -> None:
    time.sleep(SETTLE_S)


def rest() -> None:
    """Let all be reported that a driver's start has done."""
    time.sleep(REST_S)
