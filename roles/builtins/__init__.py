"""
Functions that come with the product: small steps for reshaping data.

Importing this package registers them. Each takes an object with the keys that its
docstring names; what it works on may also come as `value`, or be the whole input.
"""

from __future__ import annotations

from roles.builtins import (
    csv_text,
    json_text,
    numbers,
    objects,
    probes,
    rows,
    text,
    timing,
)

__all__ = [
    "csv_text",
    "json_text",
    "numbers",
    "objects",
    "probes",
    "rows",
    "text",
    "timing",
]
