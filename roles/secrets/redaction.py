"""
Take the values of secrets out of whatever comes back from where they were sent.

A value of 6 characters or more is found anywhere, as it is and as URLs, JSON, HTML and
base64 (at any offset) write it, and where "…" cut it short. A shorter one is found only
as a word of its own: shorter ones than 8 are not saved, so this is for old ones.
"""

from __future__ import annotations

import base64
import html
import json
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from roles.runners.base import RunnerError
from roles.runners.hosting import Parked

SHORTEST = 6  # of what is found in the middle of words
SHORTEST_PART = 8  # of the parts of a URL that are as secret as the whole
LONGEST_CUT = 20_000  # a longer text is no message that somebody cut

_CUT = re.compile(r"…|\.\.\.")
_HEX = re.compile(r"%[0-9A-F]{2}")


class Redactor:
    """Replaces the values of some secrets, by name, with `[secret:<name>]`."""

    __slots__ = ("_forms", "_words")

    def __init__(self, values: Mapping[str, str]) -> None:
        labels: dict[str, str] = {}
        words = []
        for name, value in values.items():
            label, plain = f"[secret:{name}]", str.__str__(value).strip()
            if len(plain) >= SHORTEST:
                labels |= dict.fromkeys(_forms(plain), label)
            elif plain:
                words.append((re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)"), label))
        # Longest first: no form is broken by a shorter one that it holds.
        self._forms = sorted(labels.items(), key=lambda each: -len(each[0]))
        self._words = words

    def join(self, other: Redactor) -> None:
        """Replace what another one does, too, from now on."""
        forms = {*self._forms, *other._forms}
        self._forms = sorted(forms, key=lambda each: (-len(each[0]), each))
        self._words = [*self._words, *other._words]

    def __bool__(self) -> bool:
        return bool(self._forms or self._words)

    def text(self, text: str) -> str:
        """Return a text without the secrets; itself when it holds none."""
        for form, label in self._forms:
            if form in text:
                text = text.replace(form, label)
        for word, label in self._words:
            text = word.sub(label, text)
        if self._forms and len(text) <= LONGEST_CUT and _CUT.search(text):
            text = self._without_stumps(text)
        return text

    def value(self, value: Any) -> Any:
        """Return a JSON value without the secrets, names of fields included."""
        if not self:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        shown = str(value)
        redacted = self.text(shown)
        return value if redacted == shown else redacted

    def failure(self, error: Exception) -> Exception:
        """
        Return an error that may be logged and kept; itself when it shows no secret.

        One that does becomes a RunnerError that says the same, without its traceback.
        """
        if not self:
            return error
        told = "".join(traceback.format_exception(error))
        if self.text(told) == told:
            return error
        return self._retold(error).with_traceback(None)

    def _retold(self, error: Exception) -> Exception:
        if isinstance(error, Parked):
            return Parked(
                self.text(error.detail),
                kind=error.kind,
                after_s=error.after_s,
                question=error.question,
                budget=error.budget,
            )
        if isinstance(error, RunnerError):
            return RunnerError(
                self.text(error.message),
                type=error.type,
                retryable=error.retryable,
                retry_after_s=error.retry_after_s,
            )
        message = self.text(f"{type(error).__name__}: {error}")
        return RunnerError(message, type="exception", retryable=True)

    def _without_stumps(self, text: str) -> str:
        """Replace the beginnings of secrets that end where a text was cut."""
        pieces, start = [], 0
        for cut in _CUT.finditer(text):
            pieces.append(self._without_stump(text[start : cut.start()]))
            pieces.append(cut.group())
            start = cut.end()
        return "".join([*pieces, text[start:]])

    def _without_stump(self, text: str) -> str:
        for form, label in self._forms:
            start = max(0, len(text) - len(form))
            while (start := text.find(form[:SHORTEST], start)) != -1:
                if form.startswith(text[start:]):
                    return text[:start] + label
                start += 1
        return text


NOTHING = Redactor({})


def _forms(value: str) -> set[str]:
    """Spell a value in every way that it may come back."""
    plain = {value, " ".join(value.split()), *_parts(value)}
    found = set(plain)
    for each in plain:
        found |= {quote(each), quote(each, safe=""), quote_plus(each)}
        found |= {
            json.dumps(each, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False)
        }
        found |= {repr(each)[1:-1], html.escape(each)}
    found |= {_HEX.sub(lambda code: code.group().lower(), each) for each in found}
    return found | set(_in_base64(value.encode()))


def _parts(value: str) -> Iterator[str]:
    """List what is secret by itself in a URL that is a secret."""
    try:
        url = urlsplit(value)
        parts = (url.path, url.query, url.password or "")
    except ValueError:
        return
    if url.scheme and url.netloc:
        yield from (part for part in parts if len(part) >= SHORTEST_PART)


def _in_base64(value: bytes) -> Iterator[str]:
    """List the characters that stand for the value alone, at each of three offsets."""
    for offset in range(3):
        padded = b"\0" * offset + value
        first, last = -(-8 * offset // 6), 8 * len(padded) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded).decode()[first:last]
