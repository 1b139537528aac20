"""How PostgreSQL is reached: limits, pools, and the end of connections gone silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LIMITS = (
    "-c statement_timeout=30s -c lock_timeout=10s"
    " -c idle_in_transaction_session_timeout=30s"
)
# The engine's prepared statements find rows by their keys, whatever the values are;
# PostgreSQL planned some of them anew each time, which took longer than their work.
_PLANS = "-c plan_cache_mode=force_generic_plan"
# A network that swallows everything gives no error: the kernel ends a connection on
# which nothing comes back for so long. They mean nothing to a Unix socket.
_SILENCE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}


def database(address: Mapping[str, Any], *, pool: int) -> dict[str, Any]:
    """Complete the address of a database; `pool` is its size, 0 for none."""
    given = address.get("OPTIONS", {})
    options = {
        **_SILENCE,
        **given,
        "options": f"{_LIMITS} {_PLANS}",
        "connect_timeout": 5,
        "prepare_threshold": 2,
    }
    if pool:
        options["pool"] = {
            "min_size": 1,
            "max_size": pool,
            "timeout": 10,
            "max_idle": 600,
        }
    more = {} if pool else {"CONN_MAX_AGE": None}
    engine = "django.db.backends.postgresql"
    return {**address, "ENGINE": engine, "OPTIONS": options, **more}


def replica(address: Mapping[str, Any], *, pool: int) -> dict[str, Any]:
    """Complete the address of a replica: it is never written to, nor waited for."""
    settings = database(address, pool=pool)
    options = settings["OPTIONS"]
    options["options"] += " -c default_transaction_read_only=on"
    options["connect_timeout"] = 2
    if pool:
        options["pool"] |= {"min_size": 0, "timeout": 3, "reconnect_timeout": 3}
    return settings
