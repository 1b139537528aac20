"""
Keep HTTP roles away from private networks.

A host is judged by what it resolves to, never by how it is spelt, and the address
that was judged is the one that is dialled: a second DNS answer changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore

from roles.runners.base import RunnerError

SETTING = "CORE_HTTP_ALLOWED_HOSTS"
CONNECT_TIMEOUT_S = 10.0  # for each address of a host

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # all that was ever handed out
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_REFUSED_V4 = (
    ipaddress.IPv4Network("100.64.0.0/10"),  # shared by carriers
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of old
    ipaddress.IPv4Network("240.0.0.0/4"),
)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Hosts that may be private: pairs of a name and a port, or None for any port."""

    entries: frozenset[tuple[str, int | None]] = frozenset()

    def has(self, host: str, port: int) -> bool:
        name = _normal(host)
        return (name, None) in self.entries or (name, port) in self.entries


def parse_allowed(entries: str | Iterable[str]) -> AllowedHosts:
    """Read `host[:port]` entries, as a list or separated by commas."""
    texts = entries.split(",") if isinstance(entries, str) else entries
    return AllowedHosts(
        frozenset(_entry(text.strip()) for text in texts if text.strip())
    )


def is_public(address: Address) -> bool:
    """
    Tell whether an address belongs to the public internet.

    Addresses that carry an IPv4 address inside are judged by that one.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not any(address in network for network in _REFUSED_V4)
        )
    inner = _carried(address)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_V6 and address not in _TEREDO and address.is_global


async def resolve(host: str, port: int, allowed: AllowedHosts) -> list[str]:
    """
    Return the addresses of a host, all of them checked.

    Raises RunnerError: `address_refused` when any of them is not public and the
    host is not allowed, `http_connection` when the name cannot be resolved.
    """
    addresses = await _look_up(host, port)
    if not allowed.has(host, port) and not all(map(_is_public_text, addresses)):
        raise RunnerError(
            f"{host} leads to a private or otherwise not public address. List "
            f"{host}:{port} in {SETTING} if it may be called.",
            type="address_refused",
            retryable=False,
        )
    return addresses


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """
    Opens connections to checked addresses only.

    TLS and the Host header keep to the name: only the dialling is replaced.
    """

    def __init__(
        self, allowed: AllowedHosts, dialler: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._allowed = allowed
        self._dialler = dialler or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Dial the addresses of a host in turn until one answers."""
        failure: Exception | None = None
        for address in await resolve(host, port, self._allowed):
            try:
                return await self._dialler.connect_tcp(
                    address,
                    port,
                    timeout=min(timeout or CONNECT_TIMEOUT_S, CONNECT_TIMEOUT_S),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                failure = problem
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("Unix sockets are not for HTTP roles.")

    async def sleep(self, seconds: float) -> None:
        await self._dialler.sleep(seconds)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


async def _look_up(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not a host name"
        raise RunnerError(
            f"{host} cannot be resolved: {reason}.",
            type="http_connection",
            retryable=isinstance(problem, OSError),
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_public_text(address: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(address))
    except ValueError:
        return False


def _entry(text: str) -> tuple[str, int | None]:
    host, port = text, ""
    if text.startswith("[") or text.count(":") == 1:
        host, _, port = (
            text.rpartition(":") if not text.endswith("]") else (text, "", "")
        )
    if not host or "/" in text or (port and not port.isdigit()):
        raise ValueError(f"{SETTING} takes host or host:port entries, not {text!r}.")
    return _normal(host), int(port) if port else None


def _normal(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
