"""`time.*`: the current time, and a wait that holds no worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from roles.builtins.arguments import BadArguments, subject
from roles.functions import function


@function("time.now")
def now(given: Any) -> dict[str, Any]:
    """Return the time as {iso, unix_ms}."""
    moment = datetime.now(UTC)
    return {
        "iso": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "unix_ms": int(moment.timestamp() * 1000),
    }


@function("time.delay")
async def delay(given: Any) -> dict[str, Any]:
    """Wait for `ms` milliseconds and return {waited_ms}."""
    ms = subject(given, "ms", float)
    if ms < 0:
        raise BadArguments("`ms` must not be negative.")
    await asyncio.sleep(ms / 1000)
    return {"waited_ms": ms}
