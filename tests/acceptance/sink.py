"""A small HTTP server that notes what reaches it: effects, seen from outside."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One request: its path, idempotency key, JSON body, and when it came."""

    path: str
    key: str | None
    body: Any
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Sink:
    """Answers 200 with what it got; `script` lists other answers for a path."""

    effects: list[Effect] = field(default_factory=list)
    script: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                key = self.headers.get("Idempotency-Key")
                sink.effects.append(Effect(path=self.path, key=key, body=body))
                answers = sink.script.get(self.path) or [(200, {})]
                status, headers = answers.pop(0)
                text = json.dumps({"got": body}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_port}"

    def at(self, path: str) -> list[Effect]:
        return [effect for effect in self.effects if effect.path == path]

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
