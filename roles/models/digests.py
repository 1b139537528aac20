"""Names of values by their content."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_digest(body: Any) -> str:
    """Name a JSON value by its content: SHA-256 of its canonical text, in hex."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
