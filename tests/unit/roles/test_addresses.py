from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpcore
import pytest

from roles.runners import RunnerError
from roles.runners.addresses import GuardedBackend, is_public, parse_allowed, resolve

NOBODY = parse_allowed("")


@pytest.fixture
def dns(monkeypatch):
    """Answer host names from a table; each answer may change from call to call."""
    names: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def answer(host, port, *args, **kwargs):
        if host not in names:
            return real(host, port, *args, **kwargs)
        answers = names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return names


class Dialler(httpcore.AsyncNetworkBackend):
    """Records what is dialled; addresses that are down refuse."""

    def __init__(self, down=()):
        self.dialled = []
        self.down = down

    async def connect_tcp(self, host, port, **options):
        self.dialled.append((host, port))
        if host in self.down:
            raise httpcore.ConnectError(f"{host} is down")
        return httpcore.AsyncMockStream([])


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.216.34",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_internet_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_all_other_addresses_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "0",
        "::1",
        "::ffff:169.254.169.254",
        "::ffff:7f00:1",
        "169.254.169.254",
    ],
)
def test_a_private_host_is_refused_however_it_is_spelt(host):
    with pytest.raises(RunnerError) as caught:
        asyncio.run(resolve(host, 80, NOBODY))

    assert (caught.value.type, caught.value.retryable) == ("address_refused", False)
    assert host in caught.value.message
    assert "CORE_HTTP_ALLOWED_HOSTS" in caught.value.message


def test_a_trailing_dot_changes_nothing(dns):
    dns["inside.test."] = [["10.0.0.1"]]

    with pytest.raises(RunnerError, match="leads to a private"):
        asyncio.run(resolve("inside.test.", 80, NOBODY))


def test_one_private_address_among_public_ones_is_enough(dns):
    dns["mixed.test"] = [["8.8.8.8", "10.0.0.1"]]

    with pytest.raises(RunnerError, match=r"mixed\.test leads to a private"):
        asyncio.run(resolve("mixed.test", 443, NOBODY))


def test_a_name_without_an_address_may_have_one_later():
    with pytest.raises(RunnerError) as caught:
        asyncio.run(resolve("no-such-host.invalid", 80, NOBODY))

    assert (caught.value.type, caught.value.retryable) == ("http_connection", True)


@pytest.mark.parametrize("host", ["a" * 70 + ".test", "a..test"])
def test_what_cannot_be_a_name_is_no_crash(host):
    with pytest.raises(RunnerError, match="cannot be resolved"):
        asyncio.run(resolve(host, 80, NOBODY))


def test_the_checked_address_is_dialled_whatever_dns_says_next(dns):
    dns["rebind.test"] = [["8.8.8.8"], ["127.0.0.1"]]
    dialler = Dialler()

    async def connect():
        await GuardedBackend(NOBODY, dialler).connect_tcp("rebind.test", 80)

    asyncio.run(connect())
    assert dialler.dialled == [("8.8.8.8", 80)]

    with pytest.raises(RunnerError, match=r"rebind\.test"):
        asyncio.run(connect())
    assert len(dialler.dialled) == 1


def test_the_next_address_is_tried_when_one_is_down(dns):
    dns["two.test"] = [["8.8.8.8", "8.8.4.4"]]
    dialler = Dialler(down={"8.8.8.8"})

    asyncio.run(GuardedBackend(NOBODY, dialler).connect_tcp("two.test", 80))

    assert dialler.dialled == [("8.8.8.8", 80), ("8.8.4.4", 80)]


def test_a_host_whose_addresses_are_all_down_fails(dns):
    dns["down.test"] = [["8.8.8.8", "8.8.4.4"]]
    backend = GuardedBackend(NOBODY, Dialler(down={"8.8.8.8", "8.8.4.4"}))

    with pytest.raises(httpcore.ConnectError):
        asyncio.run(backend.connect_tcp("down.test", 80))


def test_unix_sockets_are_never_opened():
    with pytest.raises(httpcore.UnsupportedProtocol):
        asyncio.run(GuardedBackend(NOBODY).connect_unix_socket("/run/docker.sock"))


def test_tls_asks_for_the_name_and_not_for_the_address(dns):
    dns["secure.test"] = [["8.8.8.8"]]
    asked = []

    class Stream(httpcore.AsyncMockStream):
        async def start_tls(self, ssl_context, server_hostname=None, timeout=None):
            asked.append(server_hostname)
            raise httpcore.ConnectError("enough")

    class TlsDialler(Dialler):
        async def connect_tcp(self, host, port, **options):
            self.dialled.append((host, port))
            return Stream([])

    dialler = TlsDialler()

    async def call():
        pool = httpcore.AsyncConnectionPool(
            network_backend=GuardedBackend(NOBODY, dialler)
        )
        async with pool:
            await pool.request("GET", "https://secure.test/")

    with pytest.raises(httpcore.ConnectError, match="enough"):
        asyncio.run(call())
    assert asked == ["secure.test"]
    assert dialler.dialled == [("8.8.8.8", 443)]


@pytest.mark.parametrize(
    ("entries", "host", "port", "allowed"),
    [
        ("localhost", "localhost", 80, True),
        ("localhost", "LOCALHOST.", 9999, True),
        ("localhost:8000", "localhost", 8000, True),
        ("localhost:8000", "localhost", 8001, False),
        ("localhost", "127.0.0.1", 80, False),
        ("127.0.0.1", "127.1", 80, False),
        ("a.test, b.test:81", "b.test", 81, True),
        (["a.test"], "a.test", 80, True),
        ("test", "a.test", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("::1", "::1", 5, True),
        ("[::1]", "::1", 5, True),
        ("", "", 80, False),
    ],
)
def test_the_allow_list_names_hosts_as_they_are_spelt(entries, host, port, allowed):
    assert parse_allowed(entries).has(host, port) is allowed


@pytest.mark.parametrize("entry", ["http://a.test", "a.test:http", ":80", "a/b"])
def test_an_entry_that_is_no_host_is_refused(entry):
    with pytest.raises(ValueError, match="CORE_HTTP_ALLOWED_HOSTS"):
        parse_allowed(entry)


def test_an_allowed_host_may_be_private():
    assert asyncio.run(resolve("127.0.0.1", 80, parse_allowed("127.0.0.1:80"))) == [
        "127.0.0.1"
    ]
