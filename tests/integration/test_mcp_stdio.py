"""`manage.py mcp`: the same server for clients that start it themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from core_orchestration import drafts
from executions.models import Execution
from roles import keys
from roles.models import Role
from roles.toolkit import meta_tools
from roles.toolkit.threads import in_thread
from tests.integration.mcp_web import run

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(settings: Any) -> dict[str, str]:
    """Lead a process of its own to the database of the tests."""
    settings.DB_POOL_SIZE = 1
    url = urlsplit(os.environ["DATABASE_URL"])
    name = str(connection.settings_dict["NAME"])
    return {**os.environ, "DATABASE_URL": urlunsplit(url._replace(path=f"/{name}"))}


def command(*words: str) -> list[str]:
    return ["manage.py", "mcp", *words]


def refused(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, *command(*words)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def started(environment: dict[str, str], *words: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable, args=command(*words), env=environment, cwd=ROOT
    )


def test_a_local_client_lists_and_calls(
    environment: dict[str, str], user: User, tmp_path: Path
) -> None:
    Role.objects.create(
        name="Shouter", kind="function", config={"function": "text.upper"}
    )
    step = {"name": "Shout", "role_name": "Shouter"}
    document = {"name": "Shout it", "steps": [step], "expose_as_tool": True}
    drafts.save(document, by=user)
    key, token = keys.issue(user, "local")
    server = started({**environment, "CORE_API_KEY": token})

    async def story() -> Any:
        with (tmp_path / "log").open("w") as log:
            async with Client(stdio_client(server, errlog=log)) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                meta: Any = {"wait_ms": 0}
                result = await client.call_tool("shout_it", {"a": 1}, meta=meta)
                await in_thread(keys.revoke, key, timezone.now())
                with pytest.raises(Exception, match="revoked"):
                    await client.call_tool("shout_it", {})
                return names, result

    names, result = run(story)
    assert names == {"shout_it", "get_execution"}
    execution = Execution.objects.get()
    assert result.structured_content["execution_id"] == str(execution.pk)
    assert (execution.created_by, execution.input) == (user, {"a": 1})


def test_who_sits_at_the_machine_needs_no_key(
    environment: dict[str, str], user: User
) -> None:
    server = started(environment, "--user", "ada")

    async def story() -> set[str]:
        async with Client(server, mode="legacy") as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    assert run(story) == set(meta_tools())


def test_nobody_gets_in_without_a_key(environment: dict[str, str]) -> None:
    environment.pop("CORE_API_KEY", None)
    assert "--key" in refused(environment)
    assert "unknown or revoked" in refused(environment, "--key", "core_nonsense")
    assert "no such active user" in refused(environment, "--user", "nobody")
