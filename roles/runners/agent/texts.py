"""Keep out of the record what JSON columns refuse: NUL and half surrogate pairs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)

MAX_RESULT = 200_000  # characters of a tool's result
REPLACEMENT = "\ufffd"

_UNFIT = re.compile("[\0\ud800-\udfff]")


def fit(value: Any) -> Any:
    """Return a JSON value with such characters replaced."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _mended(value)
    if isinstance(value, dict):
        return {fit(key): fit(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fit(item) for item in value]
    return value


def fit_response(response: ModelResponse) -> ModelResponse:
    """Return an answer whose texts and arguments can be stored."""
    return replace(response, parts=[_fit_part(part) for part in response.parts])


def shortened(result: Any) -> Any:
    """Return a tool's result for the model, cut with a note where it is too long."""
    result = fit(result)
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    if len(text) <= MAX_RESULT:
        return result
    return (
        f"{text[:MAX_RESULT]}\n[Shortened: the result has {len(text)} characters, "
        f"and only the first {MAX_RESULT} are shown.]"
    )


def _mended(text: str) -> str:
    return _UNFIT.sub(REPLACEMENT, text)


def _fit_part(part: ModelResponsePart) -> ModelResponsePart:
    if isinstance(part, TextPart | ThinkingPart):
        return replace(part, content=fit(part.content))
    if isinstance(part, ToolCallPart):
        arguments = fit(part.args)
        if isinstance(arguments, str) and "\\u0000" in arguments:
            arguments = arguments.replace("\\u0000", "\\ufffd")
        return replace(part, args=arguments)
    return part
