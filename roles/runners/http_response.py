"""Turn an answer into a step's output, or into a classified failure."""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from roles.runners.base import RunnerError
from roles.runners.http_client import Answer

MAX_RETRY_AFTER_S = 24 * 3600.0
EXCERPT_LENGTH = 300

_WORTH_ANOTHER_TRY = {408, 425, 429}
_JSON = re.compile(r"application/([\w.+-]+\+)?json|text/json")
_TEXT = re.compile(
    r"text/.*|.*\+xml|application/"
    r"(xml|javascript|ecmascript|graphql|yaml|x-yaml|x-ndjson|x-www-form-urlencoded)"
)
_CHARSETS = re.compile(  # plain tables; some other codecs take quadratic time
    r"utf-8(-sig)?|utf-(16|32)(-[lb]e)?|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+"
    r"|shift_jis\w*|euc_\w+|gb\w+|big5\w*|johab|hz|iso2022_\w+|tis-620|kz1048|ptcp154"
)


def output_of(answer: Answer) -> dict[str, Any]:
    """
    Return {status, headers, body}, with the body as its content type says.

    JSON is decoded and text is text; anything else is base64, marked by
    `encoding`. Raises RunnerError, type `bad_response`, for JSON that is broken.
    """
    output: dict[str, Any] = {"status": answer.status, "headers": dict(answer.headers)}
    kind = _content_type(answer.headers)
    if not answer.body:
        return {**output, "body": None}
    if _JSON.fullmatch(kind.get_content_type()):
        return {**output, "body": _json(answer.body)}
    text = _text(answer.body, kind)
    if text is None:
        body = base64.b64encode(answer.body).decode("ascii")
        return {**output, "body": body, "encoding": "base64"}
    return {**output, "body": text}


def check_status(
    answer: Answer, *, host: str, accepted: Collection[int], now: datetime
) -> None:
    """
    Raise RunnerError, type `http_status`, unless the status is a success.

    408, 425, 429 and 5xx are worth another attempt, after the pause that the
    other side asked for.
    """
    status = answer.status
    if status in accepted or 200 <= status < 300:
        return
    retryable = status in _WORTH_ANOTHER_TRY or status >= 500
    excerpt = _excerpt(answer)
    raise RunnerError(
        f"{host} answered {status}{f': {excerpt}' if excerpt else '.'}",
        type="http_status",
        retryable=retryable,
        retry_after_s=retry_after(answer.headers, now=now) if retryable else None,
    )


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Read `Retry-After`, seconds or a date, as seconds from now; a day at most."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,10}(\.\d+)?", value, re.ASCII):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _content_type(headers: Mapping[str, str]) -> Message:
    message = Message()
    message["Content-Type"] = headers.get("content-type", "application/octet-stream")
    return message


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise RunnerError(
            f"The answer says it is JSON, but it is not: {problem}.",
            type="bad_response",
            retryable=False,
        ) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def _text(body: bytes, kind: Message) -> str | None:
    charset = _known_charset(kind.get_content_charset() or "utf-8")
    if not _TEXT.fullmatch(kind.get_content_type()):
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
    else:
        text = body.decode(charset, errors="replace")
    return None if "\0" in text else text


def _known_charset(name: str) -> str:
    try:
        known = codecs.lookup(name).name
    except LookupError:
        return "utf-8"
    return known if _CHARSETS.fullmatch(known) else "utf-8"


def _excerpt(answer: Answer) -> str:
    text = _text(answer.body[: EXCERPT_LENGTH * 4], _content_type(answer.headers)) or ""
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT_LENGTH else f"{text[:EXCERPT_LENGTH]}…"
