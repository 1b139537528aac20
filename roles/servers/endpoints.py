"""Where a server is and what it is sent: taken from its row, secrets in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.conf import settings

from roles.models import McpServer
from roles.runners.addresses import AllowedHosts, parse_allowed
from roles.runners.base import RunnerError
from roles.runners.secret_text import check_hosts, secrets_in
from roles.secrets.redaction import NOTHING, Redactor
from roles.secrets.references import filled, names_in
from roles.secrets.vault import UnknownSecret, UnreadableSecret, opened

Streams = tuple[Any, Any]  # of what arrives, and for what leaves


class ServerFault(Exception):
    """A server did not do what it was asked; `code` is a snake_case word."""

    def __init__(self, detail: str, *, code: str = "mcp_server_failed") -> None:
        super().__init__(detail)
        self.detail, self.code = detail, code


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server as it is reached, by its `url` or its `command`."""

    name: str
    url: str
    command: tuple[str, ...]
    headers: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float
    allowed_hosts: AllowedHosts  # that may be private
    redactor: Redactor = field(default=NOTHING, repr=False)


def endpoint_of(server: McpServer) -> Endpoint:
    """
    Open a server's secrets; asks the database.

    Raises ServerFault for a secret that is not there, or not for this server.
    """
    kept = {"headers": server.headers, "environment": server.environment}
    try:
        values = opened(names_in(kept))
        given = filled(kept, values)
        _check_secrets(server, given)
    except (UnknownSecret, UnreadableSecret) as missing:
        raise ServerFault(str(missing), code="secret_unknown") from None
    except RunnerError as refused:
        raise ServerFault(refused.message, code=refused.type) from None
    return Endpoint(
        name=server.name,
        url=server.url,
        command=tuple(server.command),
        headers=given["headers"],
        environment=given["environment"],
        timeout_s=server.timeout_ms / 1000,
        allowed_hosts=parse_allowed(settings.CORE_HTTP_ALLOWED_HOSTS),
        redactor=Redactor(values),
    )


def _check_secrets(server: McpServer, given: Mapping[str, Mapping[str, str]]) -> None:
    if server.url:
        check_hosts(secrets_in(given["headers"]), httpx.URL(server.url))
    for secret in secrets_in(given["environment"]):
        if secret.hosts.entries:
            raise ServerFault(
                f"The secret {secret.name!r} is for some hosts only, and no command is "
                "one.",
                code="secret_not_for_host",
            )
