"""Folders for Unix sockets, whose paths the kernel limits to about 104 bytes."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from config.dev.account import Account
from config.dev.guard import Guard
from config.dev.shelter import own

LONGEST = 100
LONGEST_NAME = len("/.s.PGSQL.5432.lock")
PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


def socket_folder(wanted: Path, guard: Guard, account: Account | None = None) -> Path:
    """
    Return the wanted folder, or a short one for this run when that cannot be used.

    A path with blanks or other special characters would need quoting in the
    servers' URLs, so it counts as unusable, too.
    """
    if fits(wanted):
        own(wanted, account)
        return wanted
    folder = Path(tempfile.mkdtemp(prefix="core-"))
    guard.remove_later(folder)
    own(folder, account)
    return folder


def fits(folder: Path) -> bool:
    path = os.fsencode(folder)
    plain = PLAIN.fullmatch(str(folder)) is not None
    return plain and len(path) + LONGEST_NAME <= LONGEST
