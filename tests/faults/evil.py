"""An HTTP server of the worst kind: endless, explosive, and never where it says."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PIECE = 64 * 1024
ZEROS = bytes(1024 * 1024)
GIGABYTES = 2


class Evil:
    """`hits` are the paths that were asked for; `stopping` ends what is endless."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        evil = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                evil.hits.append(self.path)
                answer = _ANSWERS.get(urlsplit(self.path).path, _plain)
                with contextlib.suppress(OSError):
                    answer(self, evil)
                self.close_connection = True

            do_POST = do_GET  # noqa: N815  (the base class's own names)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@contextlib.contextmanager
def serving() -> Iterator[Evil]:
    evil = Evil()
    threading.Thread(target=evil._server.serve_forever, daemon=True).start()
    try:
        yield evil
    finally:
        evil.stopping.set()
        evil._server.shutdown()
        evil._server.server_close()


Handler = BaseHTTPRequestHandler


def _head(handler: Handler, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def _plain(handler: Handler, evil: Evil) -> None:
    _head(handler, Content_Type="text/plain", Content_Length="6")
    handler.wfile.write(b"secret")


def _redirect(handler: Handler, evil: Evil) -> None:
    (to,) = parse_qs(urlsplit(handler.path).query)["to"]
    _head(handler, 302, Location=to, Content_Length="0")


def _around(handler: Handler, evil: Evil) -> None:
    _head(handler, 307, Location="/around", Content_Length="0")


def _endless(handler: Handler, evil: Evil) -> None:
    _head(handler, Content_Type="text/plain", Connection="close")
    while not evil.stopping.is_set():
        handler.wfile.write(b"x" * PIECE)


def _drip(handler: Handler, evil: Evil) -> None:
    _head(handler, Content_Type="text/plain", Connection="close")
    while not evil.stopping.wait(0.1):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def _headers(handler: Handler, evil: Evil) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not evil.stopping.is_set():
        handler.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")


def _bomb(handler: Handler, evil: Evil) -> None:
    _head(
        handler,
        Content_Type="application/json",
        Content_Encoding="gzip",
        Connection="close",
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range(GIGABYTES * 1024):
        handler.wfile.write(packer.compress(ZEROS))
    handler.wfile.write(packer.flush())


def _brackets(handler: Handler, evil: Evil) -> None:
    body = b"[" * 1_000_000
    _head(handler, Content_Type="application/json", Content_Length=str(len(body)))
    handler.wfile.write(body)


def _refusal(handler: Handler, evil: Evil) -> None:
    body = b'{"error": {"message": "No.", "type": "invalid_request_error"}}'
    _head(handler, 401, Content_Type="application/json", Content_Length=str(len(body)))
    handler.wfile.write(body)


_ANSWERS: dict[str, Callable[[Handler, Evil], None]] = {
    "/redirect": _redirect,
    "/around": _around,
    "/endless": _endless,
    "/drip": _drip,
    "/headers": _headers,
    "/bomb": _bomb,
    "/brackets": _brackets,
    "/v1/responses": _refusal,
    "/v1/chat/completions": _refusal,
}
