"""A login and an API key in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    username: str
    password: str
    api_key: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def load(path: Path) -> Credentials | None:
    """Read the file; None when there is none, or none that makes sense."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = [field.name for field in fields(Credentials)]
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), str) for name in names
    ):
        return None
    return Credentials(**{name: found[name] for name in names})


def store(path: Path, login: Credentials) -> None:
    """Replace the file in one step; nobody else can read it at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(login.as_json(), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
