"""
The ordinary user that PostgreSQL runs as when we are root, which it refuses.

What that user can reach is tried, not computed: mode bits tell only a part.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.dev.terminal import DevError

CANDIDATES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """Return None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    ordinary = sorted(name for name, entry in known.items() if entry.pw_uid != 0)
    for name in (*CANDIDATES, *ordinary):
        if name in known and known[name].pw_uid != 0:
            return _account(known[name])
    raise DevError(
        "PostgreSQL does not run as root, and this machine has no other user. "
        "Add one (useradd nobody) or set DATABASE_URL."
    )


def owner_of(path: Path) -> Account | None:
    """Return the user a file belongs to, unless that is root."""
    uid = path.stat().st_uid
    if uid == 0:
        return None
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError as error:
        raise DevError(
            f"{path} belongs to user {uid}, who is unknown on this machine. "
            f"Give it to another one: chown -R nobody {path}"
        ) from error


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def can_run(account: Account, *command: str) -> bool:
    """Tell whether the command works for that user."""
    try:
        done = subprocess.run(  # noqa: S603
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def can_enter(account: Account, folder: Path) -> bool:
    return can_run(account, "/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder))
