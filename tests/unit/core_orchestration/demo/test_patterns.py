"""What the demo's patterns call."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.demo.headlines import criticise_headline, write_headline
from core_orchestration.demo.puzzle import next_number, score_number
from core_orchestration.demo.support import vote_category

TASK = {"start": 3, "target": 47}


def test_numbers_lead_to_numbers() -> None:
    first = [
        next_number({"task": TASK, "path": [], "number": n})["value"] for n in (1, 2, 3)
    ]
    assert first == [8, 9, -1]
    path = [{"operation": "* 3", "value": 9}]
    after = next_number({"task": TASK, "path": path, "number": 4})
    assert after == {"operation": "+ 5", "value": 14}


@pytest.mark.parametrize(("value", "score"), [(47, 0), (40, -7), (50, -3)])
def test_a_number_scores_by_how_near_it_is(value: int, score: int) -> None:
    assert score_number({"task": TASK, "thought": {"value": value}}) == {"score": score}


def test_a_headline_loses_a_word_a_round_until_it_is_calm() -> None:
    text, scores = "AMAZING: the best boat", list[int]()
    given: dict[str, Any] = {"task": text, "result": None, "criticism": None}
    while not scores or scores[-1] < 10:
        text = write_headline(given)
        criticism = criticise_headline({"result": text})
        scores.append(criticism["score"])
        given = {"task": "", "result": text, "criticism": criticism}
    assert text == "the boat"
    assert scores == sorted(scores)
    assert write_headline(given) == text


@pytest.mark.parametrize(
    ("number", "category"),
    [(1, "billing"), (2, "technical"), (3, "other"), (4, "billing")],
)
def test_a_sentence_names_a_category(number: int, category: str) -> None:
    message = "I was charged twice. The app freezes. Bye."
    assert vote_category({"task": message, "number": number})["category"] == category
    assert vote_category({"task": "", "number": number})["category"] == "other"
