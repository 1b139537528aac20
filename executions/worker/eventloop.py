"""
One event loop per process, in a thread of its own, for all work that awaits.

Clients of models and endpoints belong to the loop that they were made on, so every
step of a process shares one. It is made at its first use, hence after the fork.
"""

from __future__ import annotations

import asyncio
import os
import threading

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0


def current_loop() -> asyncio.AbstractEventLoop:
    """Return this process's running loop, made when there is none yet."""
    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid() or not _loop.is_running():
            _loop, _owner = _started(), os.getpid()
        return _loop


def replace_stuck_loop(patience_s: float) -> bool:
    """
    Leave the loop behind if it does not answer within `patience_s` seconds.

    Work that blocks the loop cannot be cancelled; without this it would stop every
    step of the process. The next step gets a fresh loop.
    """
    global _loop
    loop, answered = _loop, threading.Event()
    if loop is None:
        return False
    loop.call_soon_threadsafe(answered.set)
    if answered.wait(patience_s):
        return False
    with _lock:
        if _loop is loop:
            _loop = None
    return True


def _ran_to_its_stop(loop: asyncio.AbstractEventLoop) -> bool:
    """Run the loop; False when a callback tried to end the process instead."""
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt):
        return False
    return True


def _started() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    running = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(running.set)
        while not _ran_to_its_stop(loop):
            pass

    threading.Thread(target=run, name="event-loop", daemon=True).start()
    running.wait()
    return loop
