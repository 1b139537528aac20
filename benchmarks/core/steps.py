"""What the benchmark's steps do: nothing, or wait; the rest is the product's own time."""

from __future__ import annotations

import asyncio
from typing import Any

from roles.functions import function


@function("bench.nothing")
def nothing(given: Any) -> None:
    """Return at once."""


@function("bench.wait")
async def wait(given: dict[str, Any]) -> None:
    """Wait `seconds` on the event loop of an io worker."""
    await asyncio.sleep(given["seconds"])


@function("bench.report")
def report(given: Any) -> dict[str, Any]:
    """Return a document of the size that steps of real workflows have."""
    lines = [{"sku": f"A-{number}", "amount": number} for number in range(2)]
    return {"state": "shipped", "carrier": "northern post", "lines": lines}
