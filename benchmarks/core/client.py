"""
A program that starts executions over HTTP and hears of their end from live events.

It keeps its connections: one for requests, one for the streams.
"""

from __future__ import annotations

import http.client
import json
from typing import Self

END = b"event: execution."
OVER = (b"completed", b"failed", b"cancelled", b"timed_out")


class Refused(Exception):
    """The API answered otherwise than was hoped for."""


class Client:
    """Speaks HTTP/1.1 with keep-alive; for one thread."""

    def __init__(self, port: int, token: str) -> None:
        self._headers = {"Authorization": token, "Content-Type": "application/json"}
        self._asking = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._hearing = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go; the next request makes new ones."""
        self._asking.close()
        self._hearing.close()

    def read(self, path: str) -> bytes:
        """Return what a path answers, unread: reading it is the caller's time."""
        self._asking.request("GET", f"/api/v1/{path}", headers=self._headers)
        return self._answer(200)

    def post(self, path: str, body: bytes) -> bytes:
        """Post what is to be done, and return the answer unread."""
        self._asking.request("POST", f"/api/v1/{path}", body, self._headers)
        return self._answer(202)

    def execute(self, orchestration: str) -> str:
        """Start an execution; return its id."""
        answer = self.post(f"orchestrations/{orchestration}/execute/", b'{"input": {}}')
        return str(json.loads(answer)["id"])

    def run(self, orchestration: str) -> None:
        """Start an execution, and hear of its end."""
        self.await_end(self.execute(orchestration))

    def await_end(self, execution: str) -> None:
        """Follow the live events of an execution to its last one."""
        path = f"/api/v1/executions/{execution}/events/"
        self._hearing.request("GET", path, headers=self._headers)
        stream = self._hearing.getresponse()
        heard = b""
        for line in stream:
            if line.startswith(END) and line.strip().removeprefix(END) in OVER:
                heard = line
                break
        stream.read()
        if not heard.endswith(b"completed\n"):
            raise Refused(f"Execution {execution}: {heard!r}")

    def _answer(self, status: int) -> bytes:
        answer = self._asking.getresponse()
        body = answer.read()
        if answer.status != status:
            raise Refused(f"{answer.status}: {body[:500]!r}")
        return body
