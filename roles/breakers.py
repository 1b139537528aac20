"""
Leave a model alone that asked for it: the whole fleet at once, by the database's clock.

A key is a provider's model asked with one credential. Its breaker is open while there
is a row: until `open_until` nobody asks, then one call at a time tries. That closes the
breaker, or opens it for longer. While none is open, a process asks the database at most
once a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any

from django.db import connection, transaction

from roles import audit
from roles.models import Breaker

FRESH_S = 1.0
PROBE_S = 60.0  # so long a probe may take before another call is let through
LONGEST_S = 86_400.0
_KEY_LENGTH = 300
_REASON_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """
    Leave to ask now, unless it says after how many seconds to come back.

    Whoever was let through as the probe says how it went, with `close` or `trip`.
    """

    after_s: float | None = None
    is_probe: bool = False
    detail: str = ""  # why to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The open breakers as this process last saw them: when each ends, and why."""

    read_at: float
    ends: Mapping[str, tuple[float, str]]  # monotonic seconds, reason


_known: _Known | None = None
_reading = Lock()

_READ = """
SELECT key, extract(epoch FROM open_until - clock_timestamp())::float8, reason
FROM roles_breaker
"""
# Of those who update at once one wins: the others find its probe when it is their turn.
_PROBE = """
WITH won AS (
    UPDATE roles_breaker
    SET probe_until = clock_timestamp() + make_interval(secs => %(probe_s)s),
        updated_at = clock_timestamp()
    WHERE key = %(key)s AND open_until <= clock_timestamp()
        AND (probe_until IS NULL OR probe_until <= clock_timestamp())
    RETURNING key
)
SELECT extract(epoch FROM open_until - clock_timestamp())::float8, reason,
    EXISTS (SELECT FROM won)
FROM roles_breaker WHERE key = %(key)s
"""
# Many calls fail together: only the failure that ends a pause counts as another one.
_TRIP = """
INSERT INTO roles_breaker AS b (key, open_until, reason, failures, updated_at)
VALUES (
    %(key)s, clock_timestamp() + make_interval(secs => coalesce(%(given_s)s, 2 * %(spread)s)),
    %(reason)s, 1, clock_timestamp()
)
ON CONFLICT (key) DO UPDATE SET
    open_until = CASE
        WHEN %(is_probe)s AND %(given_s)s IS NOT NULL THEN excluded.open_until
        ELSE greatest(b.open_until, clock_timestamp() + make_interval(
            secs => coalesce(%(given_s)s, %(spread)s * least(240, power(2, least(
                8, b.failures + (b.open_until <= clock_timestamp())::int))))
        ))
    END,
    failures = b.failures + (b.open_until <= clock_timestamp())::int,
    reason = excluded.reason,
    probe_until = NULL,
    updated_at = excluded.updated_at
RETURNING extract(epoch FROM open_until - clock_timestamp())::float8
"""
# A call from before the pause that succeeds in the midst of it proves nothing.
_CLOSE = (
    "DELETE FROM roles_breaker WHERE key = %(key)s AND open_until <= clock_timestamp()"
)


def is_known_closed(key: str) -> bool:
    """Tell whether `admit` would let a call through without asking the database."""
    known = _known
    return known is not None and _is_fresh(known) and _stored(key) not in known.ends


def admit(key: str, *, chance: float = 0.5) -> Admission:
    """
    Ask for leave; `chance`, from 0 to 1, spreads those who have to wait.

    A probe has a minute before another one is let through.
    """
    key = _stored(key)
    end = _seen().ends.get(key)
    if end is None:
        return Admission()
    left = end[0] - monotonic()
    if left > 0:
        return Admission(after_s=left + chance, detail=end[1])
    rows = _fetched(_PROBE, {"key": key, "probe_s": PROBE_S})
    if not rows:
        _note(key, None)
        return Admission()
    left, reason, won = rows[0]
    if won:
        return Admission(is_probe=True)
    if left > 0:
        _note(key, (monotonic() + left, reason))
        return Admission(after_s=left + chance, detail=reason)
    return Admission(after_s=1 + 2 * chance, detail=reason)


def trip(
    key: str,
    reason: str,
    retry_after_s: float | None = None,
    *,
    is_probe: bool = False,
    chance: float = 0.5,
) -> float:
    """
    Open a breaker, or keep it open for longer; return for how many seconds.

    `retry_after_s` is what the provider asked for. Without it the pause doubles from
    2 s to 5 min, and `chance` lengthens it by up to a quarter. A pause is cut short
    only by the provider's own word after a probe.
    """
    key = _stored(key)
    given = None if retry_after_s is None else min(max(retry_after_s, 0.0), LONGEST_S)
    values = {
        "key": key,
        "reason": reason[:_REASON_LENGTH],
        "given_s": given,
        "is_probe": is_probe,
        "spread": 1 + chance / 4,
    }
    left: float = _fetched(_TRIP, values)[0][0]
    _note(key, (monotonic() + left, reason[:_REASON_LENGTH]))
    return left


def close(key: str) -> None:
    """Note a success: a breaker that this process knows to be open is done with."""
    key = _stored(key)
    if _known is not None and key in _known.ends:
        with connection.cursor() as cursor:
            cursor.execute(_CLOSE, {"key": key})
            if cursor.rowcount:
                _note(key, None)


@transaction.atomic
def remove(breaker: Breaker) -> bool:
    """Close a breaker because somebody says so; tell whether it was still there."""
    gone, _ = Breaker.objects.filter(key=breaker.key).delete()
    if gone:
        audit.record(
            "breaker.close",
            object_type="breaker",
            object_id=breaker.key,
            object_name=breaker.key,
            before={"reason": breaker.reason, "failures": breaker.failures},
        )
        _note(breaker.key, None)
    return bool(gone)


def forget() -> None:
    """Let this process ask the database anew."""
    global _known
    _known = None


def _seen() -> _Known:
    """Return the breakers as of a second ago; only one thread at a time reads them."""
    global _known
    known = _known
    if known is not None and _is_fresh(known):
        return known
    if known is None:
        _reading.acquire()
    elif not _reading.acquire(blocking=False):
        return known
    try:
        known = _known
        if known is None or not _is_fresh(known):
            now = monotonic()
            rows = _fetched(_READ, {})
            ends = {key: (now + left, reason) for key, left, reason in rows}
            known = _known = _Known(read_at=now, ends=ends)
        return known
    finally:
        _reading.release()


def _is_fresh(known: _Known) -> bool:
    return monotonic() - known.read_at <= FRESH_S


def _note(key: str, end: tuple[float, str] | None) -> None:
    """Keep in mind what was just learned of one breaker, until the next look at all."""
    global _known
    known = _known
    if known is None:
        return
    ends = {each: value for each, value in known.ends.items() if each != key}
    if end is not None:
        ends[key] = end
    _known = _Known(read_at=known.read_at, ends=ends)


def _fetched(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _stored(key: str) -> str:
    """Return the key, or a shorter one where the table has no room for it."""
    if len(key) <= _KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: _KEY_LENGTH - len(digest) - 1]}:{digest}"
