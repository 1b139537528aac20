"""Regular expressions that cannot blow up: RE2 takes time linear in the text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2

MAX_PATTERN = 1_000
MAX_MEMORY = 8 * 1024 * 1024


class PatternError(ValueError):
    """The regular expression is too long or is not in RE2's language."""


@lru_cache(maxsize=1_024)
def searcher(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern into a test for a match anywhere in a text."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(
            f"A regular expression may have {MAX_PATTERN:,} characters, "
            f"not {len(pattern):,}."
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        search = re2.compile(pattern, options=options).search
    except (re2.error, UnicodeError) as error:
        raise PatternError(
            f"This is not a regular expression that can be used: {_reason(error)}. "
            "Look-around and back-references are not available."
        ) from error
    return lambda text: _found(search, text)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def _found(search: Callable[[str], object], text: str) -> bool:
    try:
        return search(text) is not None
    except UnicodeError:
        return False
