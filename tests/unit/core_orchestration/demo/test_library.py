"""Searching and citing the small library."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.demo.library import cite, library, search, terms
from core_orchestration.demo.reviewing import review_coverage
from roles.functions import FunctionFailed


def ids(query: str, collection: str = "handbook", **more: Any) -> list[str]:
    found = search({"query": query, "collection": collection, **more})
    return [hit["id"] for hit in found["hits"]]


def test_the_passage_on_the_subject_comes_first() -> None:
    assert ids("How long is a lease?")[0] == "handbook-leases"
    assert ids("adding jitter to backoff", "studies")[0] == "study-jitter"
    assert ids("invoices", "incidents") == ["incident-0412"]


def test_endings_of_words_do_not_matter() -> None:
    assert ids("retry") == ids("retries")
    assert terms("crashes crashed crash") == ["crash"] * 3


@pytest.mark.parametrize("query", ["", "the of and", "zeppelin", "?!"])
def test_what_is_nowhere_finds_nothing(query: str) -> None:
    assert ids(query) == []


def test_at_most_as_many_come_as_were_asked_for() -> None:
    assert len(ids("a worker and its message", limit=1)) == 1
    assert len(ids("a worker and its message", limit=20)) > 3


def test_scores_fall_and_repeat() -> None:
    found = search({"query": "worker message", "collection": "incidents"})
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert found == search({"query": "worker message", "collection": "incidents"})


def test_a_collection_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(FunctionFailed, match="handbook, incidents, studies"):
        search({"query": "lease", "collection": "blogs"})


def test_every_passage_has_its_own_id() -> None:
    assert len({each["id"] for each in library()}) == len(library())


def test_a_source_found_twice_is_cited_once_best_first() -> None:
    one = search({"query": "lease", "collection": "handbook"})
    other = search({"query": "lease clock", "collection": "handbook"})
    cited = cite({"text": "An answer.\n", "searches": [one, other]})
    numbers = [each["number"] for each in cited["references"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert cited["references"][0]["id"] == "handbook-leases"
    assert len({each["id"] for each in cited["references"]}) == len(numbers)
    assert cited["text"].startswith("An answer.\n\nSources\n[1] Platform team (2024)")


def test_nothing_found_is_cited_as_nothing() -> None:
    cited = cite({"text": "No idea.", "searches": [{"hits": []}]})
    assert cited == {"references": [], "text": "No idea.\n\nSources\nnone"}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("We make a backup, then rollbacks are rehearsed.", []),
        ("A backup is made.", ["rollback"]),
        ("", ["backup", "rollback"]),
    ],
)
def test_a_review_names_what_is_missing(text: str, missing: list[str]) -> None:
    review = review_coverage({"result": text, "required": ["backup", "rollback"]})
    assert review["missing"] == missing
    assert review["approved"] is not bool(missing)
