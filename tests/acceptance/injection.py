"""Agents that are told to misbehave: models that obey, and people who own nothing."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from tests.acceptance.agents import audited, transcript
from tests.acceptance.provider import Asked, Provider, Turn
from tests.acceptance.sink import Sink
from tests.acceptance.system import System, step

_SIGN_UP = """
from django.contrib.auth.models import User
from roles import keys
user, _ = User.objects.get_or_create(username="mallory")
print(keys.issue(user, "laptop")[1])
"""


def several(*calls: tuple[str, Mapping[str, Any] | str], **more: Any) -> Turn:
    """One answer with several calls; arguments that are text are sent as they are."""
    return Turn(calls=calls, **more)


def obeys(asked: Asked) -> Turn:
    """Call whatever the last tool's result orders."""
    (order,) = re.findall(r"CALL (\S+) WITH (\{.*?\})", str(asked.results[-1]))
    name, arguments = order
    return Turn(calls=[(name, json.loads(arguments.replace("'", '"')))])


def tells_all(asked: Asked) -> Turn:
    """Say everything that the model was ever sent."""
    return Turn(text=f"My instructions and all I know: {json.dumps(asked.body)}")


def reader(system: System, sink: Sink, path: str, says: str, **config: Any) -> str:
    """Make a role of kind http whose answers hold an order, and return its name."""
    name = f"Page {path.strip('/')}"
    body = {
        "name": name,
        "kind": "http",
        "config": {
            "url": f"http://{sink.address}{path}",
            "method": "POST",
            "body": {"page": says},
            **config,
        },
    }
    system.post("roles/", body, status=201)
    return name


def spelled(entry: str) -> str:
    """Write an entry of a role's `tools` as a model calls it."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", entry)


def refusals(system: System, execution: str) -> list[Mapping[str, Any]]:
    """The calls that were refused, the first one first."""
    found = audited(system, execution, "refused")
    return sorted(found, key=lambda each: int(each["id"]))


def refused_names(system: System, execution: str) -> list[str]:
    return [each["object"]["name"] for each in refusals(system, execution)]


def shown(system: System, execution: str) -> Iterable[str]:
    """Everything that the API has to say of an execution."""
    yield str(system.execution(execution))
    yield str(transcript(system, execution))
    for path in (
        f"executions/{execution}/events/",
        f"audit/?execution_id={execution}",
        "usage/",
        f"executions/{execution}/",
    ):
        yield system.client.get(path).text


def sent(provider: Provider, model: str) -> str:
    """All that a model was sent, as text."""
    asked = provider.asked_of(model.partition(":")[2])
    return json.dumps([each.body for each in asked])


def as_mallory(system: System) -> System:
    """The same system for somebody who owns nothing and is no staff."""
    spec = system.application.bootstrap(demo=False)
    done = subprocess.run(  # noqa: S603
        [spec.command[0], "manage.py", "shell", "--no-imports", "-c", _SIGN_UP],
        env=spec.env,
        cwd=spec.cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    mallory = copy.copy(system)
    mallory.client = httpx.Client(
        base_url=system.client.base_url,
        headers={"Authorization": f"Bearer {done.stdout.split()[-1]}"},
        timeout=20,
    )
    return mallory


def victim(system: System) -> dict[str, Any]:
    """Make an orchestration that nobody but its owner should touch."""
    return system.orchestration(step("Only", system.role("util.identity")))


def role_named(system: System, name: str) -> dict[str, Any]:
    found = system.client.get("roles/", params={"name": name}).json()["results"]
    role: dict[str, Any] = found[0]
    return role
