"""Other people at the same doors: with a key of their own, or all at once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx

from tests.faults.fleet import Fleet

_SIGN_UP = """
from django.contrib.auth.models import User
from roles import keys
user, _ = User.objects.get_or_create(username="mallory")
print(keys.issue(user, "laptop")[1])
"""


def stranger(fleet: Fleet) -> httpx.Client:
    """Return the client of a user who owns nothing and is no staff."""
    spec = fleet.application.bootstrap(demo=False)
    done = subprocess.run(  # noqa: S603
        [spec.command[0], "manage.py", "shell", "--no-imports", "-c", _SIGN_UP],
        env=spec.env,
        cwd=spec.cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return httpx.Client(
        base_url=fleet.client.base_url,
        headers={"Authorization": f"Bearer {done.stdout.split()[-1]}"},
        timeout=20,
    )


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Let each in a thread of its own begin at the same moment; return what came."""
    start = Barrier(len(acts))

    def act(one: Callable[[], Any]) -> Any:
        start.wait(10)
        return one()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def in_crowds(
    act: Callable[[Any], Any], items: Sequence[Any], *, people: int
) -> list[Any]:
    """Let so many people work on the items side by side; return what came of each."""
    with ThreadPoolExecutor(people) as threads:
        return list(threads.map(act, items))
