"""`manage.py mcp`: serve MCP over standard input and output, for local clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import mcp_types as types
from django.core.management.base import BaseCommand, CommandError, CommandParser
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from config.mcp import server
from config.mcp.callers import Asking, by_key, by_username
from roles.toolkit.threads import in_thread

VARIABLE = "CORE_API_KEY"

Look = Callable[[], Asking | None]


class Command(BaseCommand):
    help = "Serve MCP on standard input and output; logs go to standard error."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        who = parser.add_mutually_exclusive_group()
        who.add_argument("--key", help=f"an API key; better in {VARIABLE}")
        who.add_argument(
            "--user",
            metavar="NAME",
            help="act as this user without a key, meta-tools included",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        look = _look(options["key"] or "", options["user"] or "")
        if look() is None:
            raise CommandError(
                "The API key is unknown or revoked, or there is no such active user. "
                "`manage.py create_api_key USERNAME` makes a key."
            )
        asyncio.run(_serve(look))


def _look(key: str, username: str) -> Look:
    if username:
        return lambda: by_username(username)
    key = key or os.environ.get(VARIABLE, "")
    if not key:
        raise CommandError(f"Give --key or --user, or set {VARIABLE}.")
    return lambda: by_key(key)


async def _serve(look: Look) -> None:
    async def who(context: server.Context) -> Asking:
        """Look again at every request: a key that is revoked opens nothing more."""
        asking = await in_thread(look)
        if asking is None:
            detail = "The API key was revoked, or its user is not active any more."
            raise MCPError(types.INVALID_REQUEST, detail)
        return asking

    made = server.server_for(who)
    async with stdio_server() as (incoming, outgoing):
        await made.run(incoming, outgoing, made.create_initialization_options())
