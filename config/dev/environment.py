"""
What the processes find in their environment, and what a developer may set there.

A variable of the shell wins over `.env`, and both win over what is made up here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from config.dev.layout import ROOT


def given() -> dict[str, str]:
    """Return the shell's environment on top of `.env`."""
    return {**read_dotenv(ROOT / ".env"), **os.environ}


def read_dotenv(path: Path) -> dict[str, str]:
    """Read `KEY=VALUE` lines; `export`, quotes and comment lines are understood."""
    if not path.is_file():
        return {}
    pairs = (_pair(line) for line in path.read_text().splitlines())
    return dict(pair for pair in pairs if pair)


def _pair(line: str) -> tuple[str, str] | None:
    line = line.strip().removeprefix("export ").strip()
    key, equals, value = line.partition("=")
    if not equals or line.startswith("#"):
        return None
    return key.strip(), _unquoted(value.strip())


def _unquoted(value: str) -> str:
    if value[:1] in {'"', "'"} and value[-1:] == value[0] and len(value) > 1:
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def for_application(
    given: Mapping[str, str],
    *,
    url: str,
    secret_key: str,
    encryption_key: str,
    database_url: str,
    redis_url: str,
) -> dict[str, str]:
    """Complete the given environment; what somebody has set stays."""
    defaults = {
        "CORE_SECRET_KEY": secret_key,
        "CORE_ENCRYPTION_KEYS": encryption_key,
        "CORE_DEBUG": "0",
        "CORE_ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "CORE_PUBLIC_URL": url,
    }
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    set_by_hand = {key: value for key, value in given.items() if value}
    return {**defaults, **set_by_hand, **servers, "PYTHONUNBUFFERED": "1"}
