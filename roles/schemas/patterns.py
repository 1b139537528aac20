"""Regular expressions that cannot blow up: RE2 takes time linear in the text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

MAX_PATTERN = 1_000
MAX_MEMORY = 4 * 1024 * 1024


class PatternError(ValueError):
    """The regular expression is too long or is not in RE2's language."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """A pattern, ready to be looked for anywhere in a text; `size` tells its price."""

    compiled: Any
    size: int

    def __call__(self, text: str) -> bool:
        try:
            return self.compiled.search(text) is not None
        except UnicodeError:
            return False


@lru_cache(maxsize=1_024)
def searcher(pattern: str) -> Searcher:
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
        compiled = re2.compile(pattern, options=options)
    except (re2.error, UnicodeError) as error:
        raise PatternError(
            f"This is not a regular expression that can be used: {_reason(error)}. "
            "Look-around and back-references are not available."
        ) from error
    return Searcher(compiled, compiled.programsize)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
