"""
For root only: places that PostgreSQL's ordinary user can reach.

The source tree or the data folder may lie where only root may pass (`/root/…`).
Then the binaries are copied, and the database is kept, below a folder of ours in
`/var/lib`, which survives a reboot; a pointer in the data folder names it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from config.dev.account import Account, can_enter, can_run
from config.dev.layout import Data
from config.dev.terminal import DevError, say
from config.dev.wheels import Binaries, fingerprint

NAME = "core-orchestration"
NOT_NEEDED = shutil.ignore_patterns(
    "include", "pkgconfig", "*.a", "*.py", "__pycache__"
)


def shelter(account: Account) -> Path:
    """Return a folder of root's that the account may enter."""
    for parent in (Path("/var/lib"), Path("/usr/local/var"), Path("/var/tmp")):  # noqa: S108
        folder = parent / NAME
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o755, exist_ok=True)
            mine = not folder.is_symlink() and folder.stat().st_uid == 0
            if mine and can_enter(account, folder):
                return folder
    raise DevError(
        f"PostgreSQL runs as {account.name}, who can enter neither /var/lib nor "
        "any temporary folder. Set DATABASE_URL, or start dev.py as an ordinary user."
    )


def reachable(binaries: Binaries, account: Account) -> Binaries:
    """Return the binaries, or a copy of them, which the account can run."""
    if can_run(account, str(binaries.postgres), "--version"):
        return binaries
    parent = shelter(account) / f"servers-{fingerprint(binaries)}"
    package = binaries.postgres_home.parent
    copied = parent / package.name / binaries.postgres_home.name
    if not parent.exists():
        _copy(package, parent)
    return replace(binaries, postgres_home=copied)


def _copy(package: Path, target: Path) -> None:
    """Copy the package and its libraries, which are found by their relative place."""
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=target.parent))
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, draft / folder.name, ignore=NOT_NEEDED)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    with contextlib.suppress(OSError):  # another start was faster
        draft.rename(target)
    shutil.rmtree(draft, ignore_errors=True)


def known_postgres_folder(data: Data) -> Path | None:
    """Return where the database was put when it could not lie in the data folder."""
    pointer = data.postgres_elsewhere
    return Path(pointer.read_text().strip()) if pointer.exists() else None


def postgres_folder(data: Data, account: Account | None) -> Path:
    """Say where this installation's PostgreSQL lives."""
    if known := known_postgres_folder(data):
        return _still_there(known, data)
    if account is None or can_enter(account, data.path):
        return data.postgres
    if data.postgres.exists():
        raise DevError(
            f"{account.name}, as whom PostgreSQL runs, can no longer enter "
            f"{data.path}. Move the folder or open its parents (chmod o+x)."
        )
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=shelter(account)))
    (folder / "belongs-to").write_text(f"{data.path}\n")
    data.postgres_elsewhere.write_text(f"{folder}\n")
    say(f"  database      kept in {folder}: user {account.name!r} cannot enter --data")
    return folder


def _still_there(folder: Path, data: Data) -> Path:
    if not folder.is_dir():
        raise DevError(
            f"The database was kept in {folder}, which is gone. Bring it back, or "
            f"start afresh with: python3 dev.py reset --data {data.path}"
        )
    return folder


def own(folder: Path, account: Account | None, mode: int = 0o700) -> None:
    """Make a folder that belongs to the account."""
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(mode)
