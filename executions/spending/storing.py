"""JSON of models and tools, made such that PostgreSQL can keep it."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

_REPLACED = "\N{REPLACEMENT CHARACTER}"


def storable(value: Any) -> str:
    """
    Write a value as JSON; what jsonb cannot hold is replaced.

    That is NUL and half of a surrogate pair in texts, and numbers that are none: a
    model's answer that was paid for is kept whatever is in it.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_cleaned(value))
    if "\\u0000" in text or "\\ud" in text:
        return json.dumps(_cleaned(value))
    return text


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", _REPLACED)
    if isinstance(value, dict):
        return {_cleaned(str(key)): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
