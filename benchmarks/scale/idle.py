"""W8: what an installation costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from benchmarks.measuring.counters import Counters, rest, settle
from benchmarks.measuring.processes import Processes
from benchmarks.measuring.statements import Tally, logged
from benchmarks.scale.findings import Finding, Past, at_most, folded, table
from benchmarks.scale.installation import Installation

WATCHED_S, QUICK_S = 60.0, 10.0
MOST_PERCENT, MOST_STATEMENTS = 1.0, 5.0
MOST_SHOWN, LONGEST = 12, 160
STATEMENTS = ("Statement", "per second")


def watch(installation: Installation, past: Past, *, quick: bool) -> Finding:
    """Watch an idle installation, twice: for its costs, and for its statements."""
    seconds = QUICK_S if quick else WATCHED_S
    with installation.fleet() as fleet:
        servers = installation.servers
        roots = fleet.processes() | {
            "PostgreSQL": [servers.postgres_pid],
            "Valkey": [servers.valkey_pid],
        }
        rest()
        before, used = Counters.now(servers, installation.name), _seconds(roots)
        time.sleep(seconds)
        after = _seconds(roots)
        settle()
        counted = Counters.now(servers, installation.name).since(before)
        with logged(servers, installation.name) as found:
            time.sleep(seconds)
    percent = {role: (after[role] - used[role]) * 100 / seconds for role in roots}
    rates = {
        "commits_s": counted.commits / seconds,
        "broker_commands_s": counted.broker_commands / seconds,
        "wal_bytes_s": counted.wal_bytes / seconds,
    }
    return finding(percent, rates, found[0], seconds, past)


def finding(
    percent: Mapping[str, float],
    rates: Mapping[str, float],
    asked: Tally,
    seconds: float,
    past: Past,
) -> Finding:
    total, statements = sum(percent.values()), asked.count / seconds
    costs = [[role, value] for role, value in percent.items()]
    kinds = [
        [f"`{kind.text[:LONGEST]}`", kind.count / seconds]
        for kind in asked.most(MOST_SHOWN, by="count")
    ]
    text = (
        f"An installation with {past.many:,} past executions and nothing to do, over "
        f"{seconds:.0f} s.\n\n"
        f"{table(['Processes', '% of a core'], [*costs, ['all', total]])}\n\n"
        f"Per second: {statements:.2f} statements, {rates['commits_s']:.2f} "
        f"transactions, {rates['broker_commands_s']:.1f} commands of Valkey, "
        f"{rates['wal_bytes_s']:,.0f} bytes of PostgreSQL's log.\n\n"
        + folded("The most frequent statements", table(STATEMENTS, kinds))
    )
    return Finding(
        work="W8",
        name="At rest",
        figures={"percent": dict(percent), "statements_s": statements, **rates},
        markdown=text,
        bars=(
            at_most("idle: % of a core, all processes", total, MOST_PERCENT),
            at_most("idle: statements per second", statements, MOST_STATEMENTS),
        ),
    )


def _seconds(roots: Mapping[str, Sequence[int]]) -> dict[str, float]:
    processes = Processes.now()
    return {role: processes.cpu_seconds(pids) for role, pids in roots.items()}
