"""One check of a value against a schema, and the steps that are left to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .patterns import PatternError, Searcher, searcher
from .references import References

MAX_STEPS = 3_000_000  # each about half a microsecond
_DESCENT = 2  # what entering a schema costs
_CHARACTERS_PER_STEP = 64
_INSTRUCTIONS_PER_STEP = 128  # of a pattern, for each character
_MATCH = 5  # what one look for a pattern costs
_CONTAINER = 4  # what comparing an object or a list costs, beside what it holds
_REFUSAL = 100_000  # what finding out costs that a pattern is too large

Place = tuple["Place", str | int] | None  # the way down, its last part first


class TooManySteps(Exception):
    """The check has used up its steps."""


@dataclass(slots=True)
class Misfit:
    """One way in which a value does not fit, and where."""

    place: Place
    code: str
    detail: str


class Check:
    """
    Holds values against one schema.

    `keywords` say what each word of a schema means; words without a meaning are
    passed over. Every method raises TooManySteps once the steps are used up.
    """

    def __init__(self, schema: Any, keywords: Mapping[str, Keyword]) -> None:
        self._left = MAX_STEPS
        self._keywords = keywords
        self._references = References(schema)
        self._weights: dict[int, int] = {}
        self._searchers: dict[str, Searcher] = {}

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManySteps

    def misfits(self, rules: Any, value: Any, place: Place) -> Iterator[Misfit]:
        """Find all ways in which a value does not fit the rules of a schema."""
        if rules is True:
            self.spend(1)
        elif rules is False:
            self.spend(1)
            yield Misfit(place, "invalid_value", "Nothing fits here")
        else:
            self.spend(_DESCENT + len(rules))
            for name, rule in rules.items():
                keyword = self._keywords.get(name)
                if keyword is not None:
                    yield from keyword(self, rule, value, rules, place)

    def fits(self, rules: Any, value: Any) -> bool:
        self.spend(1)
        return next(self.misfits(rules, value, None), None) is None

    def target(self, reference: str) -> Any:
        return self._references.target(reference)

    def matcher(self, pattern: str) -> Callable[[str], bool]:
        """Compile a pattern into a test; PatternError when it cannot be used."""
        search = self._searchers.get(pattern)
        if search is None:
            search = self._searchers[pattern] = self._compiled(pattern)

        def matches(text: str) -> bool:
            self.spend(_MATCH + len(text) * search.size // _INSTRUCTIONS_PER_STEP)
            return search(text)

        return matches

    def _compiled(self, pattern: str) -> Searcher:
        try:
            search = searcher(pattern)
        except PatternError:
            self.spend(_REFUSAL)
            raise
        self.spend(search.size)
        return search

    def weigh(self, value: Any) -> int:
        """Pay for looking at the whole of a value; return the price."""
        left, todo = self._left, [value]
        while todo:
            each = todo.pop()
            if isinstance(each, str):
                self.spend(1 + len(each) // _CHARACTERS_PER_STEP)
            elif isinstance(each, dict | list):
                self.spend(_CONTAINER)
                todo.extend(each)
                todo.extend(each.values() if isinstance(each, dict) else ())
            else:
                self.spend(1)
        return left - self._left

    def weigh_rule(self, rule: Any) -> None:
        """Pay for looking at the whole of a rule, which is measured only once."""
        known = self._weights.get(id(rule))
        if known is None:
            self._weights[id(rule)] = self.weigh(rule)
        else:
            self.spend(known)


Rules = Mapping[str, Any]
Keyword = Callable[[Check, Any, Any, Rules, Place], Iterable[Misfit]]
