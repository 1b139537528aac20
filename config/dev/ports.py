"""The web port, the only thing of an installation that can clash with others."""

from __future__ import annotations

import socket

from config.dev.terminal import DevError

HOST = "127.0.0.1"
HIGHEST = 65535


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def next_free(port: int) -> int | None:
    return next(filter(is_free, range(port + 1, min(port + 200, HIGHEST) + 1)), None)


def require_free(port: int, command: str) -> None:
    """Name a free port, and the command to type, when this one cannot be had."""
    if is_free(port):
        return
    other = next_free(port)
    if other is None:
        raise DevError(f"Port {port} cannot be used, nor can any of the next ones.")
    raise DevError(
        f"Port {port} is taken or not allowed; {other} is free. Type: "
        f"{command} --port {other}"
    )
