"""
A mock of providers that others keep: @copilotkit/aimock, from the npm registry.

It speaks as OpenAI, Anthropic and Google do. What it is to say is given to it while it
runs, for a model that nobody else asks; what it was asked is in its journal.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from config.dev.layout import TOOLS
from tests.acceptance.system import until

PACKAGE = Path(__file__).parents[1] / "aimock"
CONFIG = json.loads((PACKAGE / "aimock.json").read_text())
VERSION = json.loads((PACKAGE / "package.json").read_text())["dependencies"][
    "@copilotkit/aimock"
]
NODE = (20, 15)
# An installation that fails so is a fault of ours, not of the network.
_OURS = re.compile(r"npm (?:error|ERR!) code (EUSAGE|EINTEGRITY|EJSONPARSE)")
_LISTENS = re.compile(r"aimock server listening on (http://\S+)")
_PATHS = {"openai": "/v1", "openai-responses": "/v1", "anthropic": "", "google": ""}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer, to requests that fit `match`; `more` is how it is sent."""

    response: Mapping[str, Any]
    match: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


def says(content: Any, *, tokens: tuple[int, int] = (100, 10), **match: Any) -> Turn:
    """Answer with a text, and with tokens that went in and came out."""
    return Turn(response={"content": content, **_usage(tokens)}, match=match)


def calls(
    name: str,
    arguments: Mapping[str, Any],
    *,
    tokens: tuple[int, int] = (100, 10),
    **match: Any,
) -> Turn:
    """Answer with the call of a tool."""
    call = {"name": name, "arguments": arguments}
    return Turn(response={"toolCalls": [call], **_usage(tokens)}, match=match)


def refuses(status: int, *, retry_after: int | None = None) -> Turn:
    """Answer with an error; a 429 says after how many seconds to come back."""
    response: dict[str, Any] = {"error": {"message": "Not now."}, "status": status}
    if retry_after is not None:
        response["retryAfter"] = retry_after
    return Turn(response=response)


def dawdles(turn: Turn, *, ms: int) -> Turn:
    """Answer so many milliseconds later."""
    return replace(turn, more={"chaos": {"latencyMs": ms}})


def hangs_up() -> Turn:
    """Close the connection instead of answering."""
    return Turn(response={"content": "unheard"}, more={"chaos": {"disconnectRate": 1}})


def breaks_off(content: str) -> Turn:
    """Stream an answer's beginning, and hang up."""
    return Turn(
        response={"content": content}, more={"chunkSize": 4, "truncateAfterChunks": 3}
    )


def garbles() -> Turn:
    """Answer with what only looks like JSON."""
    return Turn(response={"content": "unread"}, more={"chaos": {"malformedRate": 1}})


class Aimock:
    """The running server."""

    def __init__(self, log: Path) -> None:
        main = _installed() / "dist" / "aimock-cli.js"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [_node(), str(main), "--config", str(PACKAGE / "aimock.json")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.key: str = CONFIG["auth"]["apiKeys"][0]
        authorization = {"Authorization": f"Bearer {self.key}"}
        self._client = httpx.Client(headers=authorization)
        try:
            self.url: str = until(lambda: self._listens(log), what="aimock")
        except BaseException:
            self.stop()
            raise

    def _listens(self, log: Path) -> str | None:
        text = log.read_text()
        assert self._process.poll() is None, f"aimock ended: {text}"
        listening = _LISTENS.search(text)
        return listening.group(1) if listening else None

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def base_url(self, api: str) -> str:
        return f"{self.url}{_PATHS[api]}"

    def script(self, *turns: Turn) -> str:
        """Give a new model its turns, the last one for good; return the model's name."""
        model = f"scripted-{next(_numbers)}"
        fixtures = [_fixture(model, number, turn) for number, turn in enumerate(turns)]
        del fixtures[-1]["match"]["sequenceIndex"]
        answer = self._client.post(
            f"{self.url}/__aimock/fixtures", json={"fixtures": fixtures}
        )
        assert answer.status_code == 200, answer.text
        return model

    def asked_of(self, model: str) -> list[dict[str, Any]]:
        """List the requests that a model has answered, as chats of OpenAI's."""
        answer = self._client.get(f"{self.url}/__aimock/journal")
        assert answer.status_code == 200, answer.text
        bodies = [entry["body"] or {} for entry in answer.json()]
        return [body for body in bodies if body.get("model") == model]

    def stop(self) -> None:
        self._client.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _usage(tokens: tuple[int, int]) -> dict[str, Any]:
    given, said = tokens
    usage = {"prompt_tokens": given, "completion_tokens": said}
    return {"usage": {**usage, "total_tokens": given + said}}


def _fixture(model: str, number: int, turn: Turn) -> dict[str, Any]:
    match = {"model": model, "sequenceIndex": number, **turn.match}
    return {"match": match, "response": turn.response, **turn.more}


# --- what it needs ------------------------------------------------------------------


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        _skip("there is no node on the PATH")
    said = subprocess.run(  # noqa: S603
        [node, "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if version < NODE:
        _skip(f"node is {said.strip()}, and {NODE[0]}.{NODE[1]} is needed")
    return node


def _installed() -> Path:
    """Return the package's folder, among the tools; installed at its first use."""
    _node()
    folder = TOOLS / f"aimock-{VERSION}"
    package = folder / "node_modules" / "@copilotkit" / "aimock"
    if not package.exists():
        TOOLS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=TOOLS, ignore_cleanup_errors=True
        ) as draft:
            _install(Path(draft))
            with suppress(OSError):  # somebody else was faster
                Path(draft).rename(folder)
    return package


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        _skip("there is no npm on the PATH")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, folder)
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = subprocess.run(  # noqa: S603
        [npm, "ci", *quiet, *patience, "--fetch-timeout=30000"],
        cwd=folder,
        env={**os.environ, "NPM_CONFIG_LOGLEVEL": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not _OURS.search(done.stderr), done.stderr
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        _skip(f"npm could not install @copilotkit/aimock {VERSION}: {said}")


def _skip(reason: str) -> NoReturn:
    pytest.skip(
        f"AGENTS ARE NOT TESTED AGAINST AIMOCK, FOR OPENAI, ANTHROPIC, GOOGLE: {reason}"
    )
