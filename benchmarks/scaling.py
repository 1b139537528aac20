"""The works of this system alone: its API, at rest, with much history, by workers."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from benchmarks.servers import Servers
from benchmarks.systems import CORE
from config.dev.terminal import complain

PLACE = "benchmarks.scale"


def scale(
    servers: Servers, chosen: argparse.Namespace, skipped: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Run them, unless only others were asked for; what fails is told and noted."""
    asked = not chosen.works or "SCALE" in chosen.works
    if CORE not in chosen.only or not asked:
        return
    if importlib.util.find_spec(PLACE) is None:
        skipped["scale"] = f"there is no {PLACE}"
        return
    try:
        run = importlib.import_module(PLACE).run
        yield from run(servers, quick=chosen.quick)
    except Exception as error:  # noqa: BLE001  (the rounds are worth a report)
        skipped["scale"] = f"{type(error).__name__}: {error}"
        complain(f"bench: the scale works failed: {skipped['scale']}")
