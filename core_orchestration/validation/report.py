"""Where problems are gathered while a document is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from roles.problems import Problem, did_you_mean

MAX_PROBLEMS = 1_000
MAX_COMPARISONS = 100_000


class Report:
    """
    The problems found so far, in bounded number.

    Suggestions cost a comparison per existing name, so a document with very many
    mistakes gets none after the first hundred thousand comparisons.
    """

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._seen = 0
        self._comparisons_left = MAX_COMPARISONS

    def add(self, pointer: str, code: str, detail: str) -> None:
        self._seen += 1
        if self._seen <= MAX_PROBLEMS:
            self._problems.append(Problem(_sendable(pointer), code, _sendable(detail)))

    def extend(self, problems: Iterable[Problem], pointer: str = "") -> None:
        for problem in problems:
            self.add(pointer + problem.pointer, problem.code, problem.detail)

    def suggest(self, name: str, candidates: Collection[str]) -> str:
        """Say ` Did you mean 'x'?`, or nothing."""
        self._comparisons_left -= len(candidates)
        return did_you_mean(name, candidates) if self._comparisons_left > 0 else ""

    def problems(self) -> list[Problem]:
        if self._seen <= MAX_PROBLEMS:
            return self._problems
        detail = (
            f"There are {self._seen - MAX_PROBLEMS:,} more problems; "
            "mend these first and check again."
        )
        return [*self._problems, Problem("", "too_many_problems", detail)]


def _sendable(text: str) -> str:
    """Replace what a response cannot carry; users' own names may hold it."""
    return text.replace("\0", "?").encode(errors="replace").decode()
