"""`dev.py reset`: delete one installation's data, and nothing else."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

from config.dev import runfile
from config.dev.layout import Data, shown
from config.dev.shelter import known_postgres_folder
from config.dev.terminal import DevError, say


def reset(path: Path, *, confirmed: bool) -> int:
    data = Data(path)
    if not data.exists():
        say(f"There is no installation in {shown(path)}; nothing to delete.")
        return 0
    with runfile.held(data, _rest):
        folders = [*_elsewhere(data), data.path]
        if not confirmed and not _agreed(folders):
            say("Nothing was deleted.")
            return 1
        for folder in folders:
            _delete(folder)
    say(f"Deleted {shown(path)}. `python3 dev.py up` starts afresh.")
    return 0


def _rest(seconds: float) -> None:
    threading.Event().wait(seconds)


def _elsewhere(data: Data) -> list[Path]:
    """Return the database's folder if it lies outside, and is this installation's."""
    folder = known_postgres_folder(data)
    if folder is None:
        return []
    owner = folder / "belongs-to"
    mine = owner.is_file() and owner.read_text().strip() == str(data.path)
    return [folder] if mine else []


def _agreed(folders: list[Path]) -> bool:
    if not sys.stdin.isatty():
        raise DevError("Nobody is there to confirm; add --yes to delete the data.")
    names = " and ".join(str(folder) for folder in folders)
    return input(f"Delete {names} for good? [y/N] ").strip().lower() in {"y", "yes"}


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except PermissionError as error:
        raise DevError(
            f"{error.filename} belongs to somebody else. "
            "Run the command as the user who started the installation."
        ) from error
