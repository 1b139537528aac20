"""
A provider of language models that says what a test wants: OpenAI's chat protocol.

Each model has a script, a list of turns; the last one is said again and again. What was
asked is kept, so that calls are counted from outside.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """
    One answer: text, calls of tools, or a refusal.

    Arguments that are text are sent as they are, JSON or not; `ids` are those of the
    calls, where a test wants to say them itself.
    """

    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    ids: Sequence[str] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    tokens: tuple[int, int] = (100, 10)  # in and out


def says(text: Any, **more: Any) -> Turn:
    return Turn(text=text if isinstance(text, str) else json.dumps(text), **more)


def calls(name: str, /, **arguments: Any) -> Turn:
    return Turn(calls=[(name, arguments)])


def refuses(status: int, **headers: str) -> Turn:
    return Turn(
        status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as the provider saw it."""

    model: str
    body: Mapping[str, Any]
    key: str
    at: float = field(default_factory=time.monotonic)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def tools(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.body.get("tools", ())]

    @property
    def results(self) -> list[Any]:
        """What its tools gave back, in their order; JSON is read."""
        return [
            _read(message["content"])
            for message in self.messages
            if message["role"] == "tool"
        ]


Script = Sequence[Turn | Callable[[Asked], Turn]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # agents come in crowds


class Provider:
    """Listens on a port of its own; `script` a model before it is asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._scripts: dict[str, list[Turn | Callable[[Asked], Turn]]] = {}
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length))
                key = self.headers.get("Authorization", "").removeprefix("Bearer ")
                asked = Asked(model=body["model"], body=body, key=key)
                turn = provider._turn(asked)
                if turn.delay_s:
                    time.sleep(turn.delay_s)  # noqa: TID251  (a slow provider)
                text = json.dumps(_answer(asked, turn)).encode()
                self.send_response(turn.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                for name, value in turn.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def script(self, *turns: Turn | Callable[[Asked], Turn]) -> str:
        """Give a new model its turns, and return the model's name."""
        name = f"scripted-{next(_numbers)}"
        self._scripts[name] = list(turns)
        return name

    def asked_of(self, model: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.model == model]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _turn(self, asked: Asked) -> Turn:
        with self._lock:
            self.asked.append(asked)
            script = self._scripts[asked.model]
            turn = script.pop(0) if len(script) > 1 else script[0]
        return turn(asked) if callable(turn) else turn


def _answer(asked: Asked, turn: Turn) -> Any:
    if turn.status != 200:
        return {
            "error": {
                "message": turn.text or "Not now.",
                "type": "overloaded",
                "code": None,
            }
        }
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": turn.ids[place] if turn.ids else f"call_{next(_numbers)}",
                "type": "function",
                "function": {"name": name, "arguments": _written(arguments)},
            }
            for place, (name, arguments) in enumerate(turn.calls)
        ]
    given, said = turn.tokens
    return {
        "id": f"chatcmpl-{next(_numbers)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if turn.calls else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": given,
            "completion_tokens": said,
            "total_tokens": given + said,
        },
    }


def _written(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _read(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
