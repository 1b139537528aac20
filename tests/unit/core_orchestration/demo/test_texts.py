"""Measuring, publishing and counting texts, and planning follow-ups."""

from __future__ import annotations

from datetime import date

import pytest

from core_orchestration.demo.counting import add_counts, count_words, split_text
from core_orchestration.demo.files import read_file
from core_orchestration.demo.support import plan_follow_up, working_day_after
from core_orchestration.demo.writing import (
    check_facts,
    check_seo,
    check_tone,
    publish,
    slug,
)

MINUTES = read_file({"file": "minutes.txt"})["text"]


def test_missing_search_words_are_suggested() -> None:
    found = check_seo({"text": "Tide and tide.", "keywords": ["tide", "pilot boat"]})
    assert found["keywords"] == {"tide": 2, "pilot boat": 0}
    assert found["suggestions"] == ["Use the keyword 'pilot boat'."]
    assert check_seo({"text": "", "keywords": []})["density"] == 0


def test_search_words_are_whole_words() -> None:
    assert check_seo({"text": "tides", "keywords": ["tide"]})["keywords"] == {"tide": 0}


def test_figures_need_a_fact() -> None:
    text = "We counted 412 ships. It took 11 days. Nobody knows why."
    found = check_facts({"text": text, "facts": ["412 ships came."]})
    assert found["claims"] == 2
    assert found["unsupported"] == ["It took 11 days."]


def test_shouting_puffery_and_length_are_remarked() -> None:
    text = "AMAZING! " + "word " * 30 + "."
    found = check_tone({"text": text})
    assert any("amazing" in each for each in found["suggestions"])
    assert any("AMAZING" in each for each in found["suggestions"])
    assert any(each.startswith("Shorten") for each in found["suggestions"])
    assert check_tone({"text": "Calm and short."})["suggestions"] == []
    assert check_tone({"text": ""})["words_per_sentence"] == 0


def test_an_article_is_escaped() -> None:
    found = publish({"title": "<b>", "text": "one <script>\n\ntwo & three"})
    assert "<script>" not in found["html"]
    assert found["html"].count("<p>") == 2
    assert found["words"] == 4


@pytest.mark.parametrize(
    ("title", "expected"),
    [("Why a Harbour?", "why-a-harbour"), ("Été", "ete"), ("日本", "untitled")],
)
def test_addresses_are_plain(title: str, expected: str) -> None:
    assert slug(title) == expected


@pytest.mark.parametrize("parts", [1, 2, 4, 50])
def test_the_parts_together_count_as_the_whole(parts: int) -> None:
    pieces = split_text({"text": MINUTES, "parts": parts})
    assert len(pieces) == parts
    counted = [count_words(piece) for piece in pieces]
    whole = count_words({"text": MINUTES})
    assert add_counts({"results": counted, "top": 3}) == add_counts(
        {"results": [whole], "top": 3}
    )


def test_counting_knows_what_the_minutes_are_about() -> None:
    total = add_counts({"results": [count_words({"text": MINUTES})], "top": 2})
    assert total["words"] == len(MINUTES.split())
    assert total["top"][0] == {"word": "harbour", "count": 7}


def test_an_empty_text_counts_as_nothing() -> None:
    pieces = split_text({"text": "", "parts": 3})
    total = add_counts({"results": [count_words(each) for each in pieces], "top": 1})
    assert total == {"words": 0, "distinct": 0, "top": []}


@pytest.mark.parametrize(
    ("day", "days", "expected"),
    [
        (date(2026, 1, 5), 1, date(2026, 1, 6)),  # Monday
        (date(2026, 1, 9), 1, date(2026, 1, 12)),  # Friday
        (date(2026, 1, 10), 1, date(2026, 1, 12)),  # Saturday
        (date(2026, 1, 7), 3, date(2026, 1, 12)),  # Wednesday
    ],
)
def test_nobody_is_asked_on_a_weekend(day: date, days: int, expected: date) -> None:
    assert working_day_after(day, days) == expected


def test_the_same_ticket_has_the_same_reference() -> None:
    ticket = {
        "customer": "Ada",
        "message": "Help",
        "category": "billing",
        "urgency": "high",
    }
    first, again = plan_follow_up(ticket), plan_follow_up(ticket)
    assert first["reference"] == again["reference"]
    assert "billing question" in first["question"]
    assert (
        "your question" in plan_follow_up({**ticket, "category": "other"})["question"]
    )
    assert date.fromisoformat(first["due_on"]).weekday() < 5
