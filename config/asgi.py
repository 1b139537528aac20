"""The web process's entry: Django under ASGI, and MCP beside it at `/mcp`."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django = get_asgi_application()

# Django calls these in a thread before each request. Under ASGI every request has a
# thread of its own, in which nothing of an earlier one is left to close or to forget.
for tidy in (reset_queries, close_old_connections):
    request_started.disconnect(tidy)

from config.mcp.door import PATHS, Door  # noqa: E402  (models need Django set up)

mcp = Door()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Send each request where it belongs; all that is not MCP's is Django's."""
    if scope["type"] == "http":
        path = scope["path"]
        if path in PATHS or path.removeprefix(scope.get("root_path", "")) in PATHS:
            await mcp(scope, receive, send)
            return
    elif scope["type"] == "lifespan":
        await _live(receive, send)
        return
    await django(scope, receive, send)


async def _live(receive: Any, send: Any) -> None:
    """Keep MCP open from the web server's start to its end."""
    await receive()
    async with mcp.opened():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
