"""What is asked of every system, and what precedes it unmeasured."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import rounds
from benchmarks.works import BY_KEY, CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
@pytest.mark.parametrize("quick", [True, False])
def test_a_warm_request_is_the_same_work_and_never_a_greater_one(
    case: Case, quick: bool
) -> None:
    asked, warm = case.asked(quick=quick), case.warming(quick=quick)
    assert warm.keys() == asked.keys()
    for key, value in asked.items():
        assert warm[key] == value or warm[key] < value


def warm(key: str) -> dict[str, Any]:
    return BY_KEY[key].warming(quick=False)


def test_fans_and_chains_are_preceded_by_themselves() -> None:
    for key in ("W2/100", "W2/1000", "W5/50", "W5/500", "W5/10000"):
        assert warm(key) == BY_KEY[key].asked(quick=False)


def test_what_takes_long_is_preceded_by_less() -> None:
    assert (warm("W1")["executions"], warm("W1")["length"]) == (50, 10)
    assert (warm("W3/200")["executions"], warm("W3/200")["seconds"]) == (200, 0.1)


class Answering:
    """A driver that gives these answers, one after another."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.answers.pop(0)


def test_repeats_are_as_many_as_the_case_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BREATH_S", 0)
    driver: Any = Answering({"seconds": 1}, {"seconds": 2}, {"seconds": 3})
    assert rounds._repeated(driver, {}, 2) == [{"seconds": 1}, {"seconds": 2}]


def test_trouble_ends_the_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BREATH_S", 0)
    driver: Any = Answering({"seconds": 1}, {"error": "no"}, {"seconds": 3})
    assert rounds._repeated(driver, {}, 3)[-1] == {"error": "no"}
