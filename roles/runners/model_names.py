"""Names of models: `provider:name`, and those of the demo, which need no network."""

from __future__ import annotations

import re

DEMO = "demo"
DEMO_FLAVOURS = ("echo", "writer")

_NAME = re.compile(r"[a-z0-9][\w./-]*:\S+")


def name_fault(name: str) -> str | None:
    """Say what is wrong with a model's name, or return None."""
    if not _NAME.fullmatch(name):
        return f"Name the model as `provider:name`, not {name!r}."
    provider, _, flavour = name.partition(":")
    if provider == DEMO and flavour not in DEMO_FLAVOURS:
        known = " and ".join(f"`{DEMO}:{each}`" for each in DEMO_FLAVOURS)
        return f"There is no demo model {flavour!r}; there are {known}."
    return None
