"""
A network for this process and its children that ends at this machine's loopback.

Restate's server asks a host outside for newer releases of itself at every start,
with telemetry disabled, too; no setting of its own prevents it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
IFREQ = "16sH22x"  # an interface's name and its flags


def leave() -> None:
    """Move into a network namespace of our own; call it before threads exist."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        problem = os.strerror(ctypes.get_errno())
        raise RuntimeError(
            f"no network namespace for Restate ({problem}): without one its server "
            "would look for newer releases outside; run as root, or allow ordinary "
            "users to make namespaces."
        )
    if flags & CLONE_NEWUSER:
        _keep(user, group)
    _raise_loopback()


def _keep(user: int, group: int) -> None:
    """Stay who we are within the new user namespace."""
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack(IFREQ, b"lo", IFF_UP))
