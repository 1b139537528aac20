"""How the commands read what they are given: JSON, ids, and who gives it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from roles.management.operators import os_user

JSON_METAVAR = "JSON|@FILE|-"
JSON_HELP = "as JSON, in a file, or on standard input (-)"


def read_json(given: str, option: str = "--input") -> Any:
    """Read JSON from the argument itself, from `@file` or from `-`, standard input."""
    try:
        if given == "-":
            given = sys.stdin.read()
        elif given.startswith("@"):
            given = Path(given[1:]).read_text(encoding="utf-8")
        return json.loads(given)
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{option} cannot be read as JSON: {error}") from error


def read_id(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError as error:
        raise CommandError(f"{given!r} is not an execution's id.") from error


def operator() -> str:
    """Name whoever sits at the command line, as the record keeps it."""
    name = os_user()
    return f"cli:{name}" if name else "cli"
