"""`json.parse` and `json.dump`."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from roles.builtins.arguments import argument, subject
from roles.functions import FunctionFailed, function

MAX_INDENT = 8


@function("json.parse")
def parse(given: Any) -> Any:
    """Return the value that the JSON `text` stands for."""
    text = subject(given, "text", str)
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise FunctionFailed(
            f"The text is not JSON: {problem}.", type="bad_json"
        ) from None


@function("json.dump")
def dump(given: Any) -> str:
    """Return `value` as JSON text; `indent` spaces per level, `sort_keys` if asked."""
    if not isinstance(given, dict) or "value" not in given:
        return json.dumps(given, ensure_ascii=False)
    indent = argument(given, "indent", int, default=0)
    return json.dumps(
        given["value"],
        ensure_ascii=False,
        indent=min(indent, MAX_INDENT) if indent > 0 else None,
        sort_keys=argument(given, "sort_keys", bool, default=False),
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")
