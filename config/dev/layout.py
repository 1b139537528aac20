"""
Where things lie: the source tree, and everything below one data folder.

The data folder carries a marker, so that neither `up` nor `reset` ever takes over
a folder that holds somebody's other files.
"""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from config.dev.terminal import DevError

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
DEFAULT_DATA = ROOT / ".data"

MARKER = ".core-orchestration"


def shown(path: Path) -> str:
    """Write a path the shortest way from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@dataclass(frozen=True, slots=True)
class Data:
    """The files of one installation."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def credentials(self) -> Path:
        return self.path / "credentials.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def postgres_elsewhere(self) -> Path:
        """Names the folder of PostgreSQL when it cannot lie in the data folder."""
        return self.path / "postgres.path"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def exists(self) -> bool:
        return (self.path / MARKER).is_file()

    def create(self) -> None:
        """Make the folder; refuse one that holds something else."""
        try:
            self._create()
        except PermissionError as error:
            raise DevError(
                f"{error.filename or self.path} cannot be written by this user. "
                "Name another folder with --data DIR, or run as its owner."
            ) from error
        except OSError as error:
            raise DevError(
                f"{self.path} cannot be made: {error.strerror}. "
                "Name another folder with --data DIR."
            ) from error

    def _create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        foreign = self.path != DEFAULT_DATA and not self.exists()
        if foreign and any(self.path.iterdir()):
            raise DevError(
                f"{self.path} holds other files and was not made by dev.py. "
                "Name an empty or a new folder with --data DIR."
            )
        # PostgreSQL may run as another user that has to pass through; every file
        # with a secret is closed by itself.
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        (self.path / MARKER).touch()
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def secret_key(self) -> str:
        """Return the installation's Django secret, made on first use."""
        path = self.path / "secret_key"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(50))
        return path.read_text().strip()

    def encryption_key(self) -> str:
        """Return the key that stored secrets are encrypted with, made on first use."""
        path = self.path / "encryption_key"
        if not path.exists():
            write_private(path, base64.urlsafe_b64encode(os.urandom(32)).decode())
        return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Replace a file at once with one that only its owner can read."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
