"""The works of this system alone: its API, at rest, with much history, by workers."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Collection, Iterator
from typing import Any

from benchmarks.servers import Servers
from benchmarks.systems import CORE
from config.dev.terminal import complain

PLACE = "benchmarks.scale"
ALL = "SCALE"
NAMES = ("W6", "W7", "W8", "W9", "W10", "WORKERS")


def scale(
    servers: Servers, chosen: argparse.Namespace, skipped: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Run them, unless only others were asked for; what fails is told and noted."""
    names = of(chosen.works)
    if CORE not in chosen.only or not names:
        return
    if importlib.util.find_spec(PLACE) is None:
        skipped["scale"] = f"there is no {PLACE}"
        return
    try:
        run = importlib.import_module(PLACE).run
        yield from run(servers, names, quick=chosen.quick)
    except Exception as error:  # noqa: BLE001  (the rounds are worth a report)
        skipped["scale"] = f"{type(error).__name__}: {error}"
        complain(f"bench: the scale works failed: {skipped['scale']}")


def of(works: Collection[str]) -> list[str]:
    """Select the works that are meant: all, if none or all of this kind are named."""
    whole = not works or ALL in works
    return [name for name in NAMES if whole or name in works]
