"""How PostgreSQL is reached."""

from __future__ import annotations

from config.databases import database, replica

ADDRESS = {"NAME": "core", "HOST": "db", "OPTIONS": {"sslmode": "require"}}


def test_a_connection_that_has_gone_silent_is_ended_by_the_kernel() -> None:
    options = database(ADDRESS, pool=0)["OPTIONS"]
    assert options["sslmode"] == "require"
    assert options["tcp_user_timeout"] == 25_000
    idle, interval, count = (
        options[f"keepalives_{name}"] for name in ("idle", "interval", "count")
    )
    assert idle + interval * count == 25


def test_an_address_has_the_last_word_about_silence() -> None:
    given = {**ADDRESS, "OPTIONS": {"tcp_user_timeout": "3000"}}
    assert database(given, pool=0)["OPTIONS"]["tcp_user_timeout"] == "3000"


def test_connections_are_pooled_or_kept() -> None:
    pooled, kept = database(ADDRESS, pool=8), database(ADDRESS, pool=0)
    assert pooled["OPTIONS"]["pool"]["max_size"] == 8
    assert "CONN_MAX_AGE" not in pooled
    assert kept["CONN_MAX_AGE"] is None
    assert "pool" not in kept["OPTIONS"]


def test_a_replica_is_read_only_and_not_waited_for() -> None:
    options = replica(ADDRESS, pool=8)["OPTIONS"]
    assert "default_transaction_read_only=on" in options["options"]
    assert "statement_timeout" in options["options"]
    assert (
        options["connect_timeout"]
        < database(ADDRESS, pool=8)["OPTIONS"]["connect_timeout"]
    )
    assert options["pool"]["min_size"] == 0
    assert "read_only" not in database(ADDRESS, pool=8)["OPTIONS"]["options"]
