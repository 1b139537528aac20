"""
A secret's value on its way to where it is needed.

It is text like any other, but knows which secret it is and where it may be sent, is
never taken for a template, and does not show itself in a traceback's variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import httpx

from roles.runners.addresses import AllowedHosts
from roles.runners.base import RunnerError

ANYWHERE = AllowedHosts()
_PORTS = {"http": 80, "https": 443}


class SecretText(str):
    """The value of the secret `name`; without `hosts` it may be sent to any."""

    __slots__ = ("hosts", "name")

    name: str
    hosts: AllowedHosts

    def __new__(
        cls, value: str = "", *, name: str = "", hosts: AllowedHosts = ANYWHERE
    ) -> Self:
        text = super().__new__(cls, value)
        text.name, text.hosts = name, hosts
        return text

    def __repr__(self) -> str:
        return f"<the secret {self.name!r}>"

    def strip(self, chars: str | None = None, /) -> SecretText:
        """Strip it like text, and keep whose it is."""
        return SecretText(super().strip(chars), name=self.name, hosts=self.hosts)

    def after(self, prefix: str) -> SecretText:
        """Put a prefix such as `Bearer ` before it."""
        return SecretText(f"{prefix}{self}", name=self.name, hosts=self.hosts)

    def is_for(self, url: httpx.URL) -> bool:
        """Tell whether it may be sent to a URL."""
        return not self.hosts.entries or self.names(url)

    def names(self, url: httpx.URL) -> bool:
        """Tell whether the URL's host is one that the secret is bound to by name."""
        port = url.port or _PORTS.get(url.scheme, 0)
        spellings = (url.host, url.raw_host.decode("ascii"))
        return any(self.hosts.has(host, port) for host in spellings)


def secrets_in(value: Any) -> Iterator[SecretText]:
    """List the secrets that stand anywhere in a filled value."""
    if isinstance(value, SecretText):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)


def check_hosts(secrets: Iterable[SecretText], url: httpx.URL) -> None:
    """Raise RunnerError, type `secret_not_for_host`, for one that may not go there."""
    for secret in secrets:
        if not secret.is_for(url):
            raise not_for_host(secret, url)


def not_for_host(secret: SecretText, url: httpx.URL) -> RunnerError:
    return RunnerError(
        f"The secret {secret.name!r} is not for {url.host}; add the host to the "
        "secret's allowed_hosts if it may be sent there.",
        type="secret_not_for_host",
        retryable=False,
    )
