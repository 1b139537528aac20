"""Map and reduce: split a text, count the words of each part, add the counts up."""

from __future__ import annotations

from collections import Counter
from typing import Any

from core_orchestration.demo.library import COMMON
from core_orchestration.demo.writing import sentences
from roles.functions import function


@function("demo.split_text")
def split_text(given: dict[str, Any]) -> list[dict[str, str]]:
    """Split `text` between sentences into `parts` of about the same length."""
    text, parts = given["text"], given["parts"]
    pieces: list[list[str]] = [[] for _ in range(parts)]
    done = 0
    for sentence in sentences(text):
        pieces[min(parts - 1, done * parts // max(1, len(text)))].append(sentence)
        done += len(sentence) + 1
    return [{"text": " ".join(piece)} for piece in pieces]


@function("demo.count_words")
def count_words(given: dict[str, Any]) -> dict[str, Any]:
    """Count the words of `text`, common ones left out of the list."""
    words = [word.strip(".,;:!?\"'()").lower() for word in given["text"].split()]
    counts = Counter(word for word in words if word and word not in COMMON)
    return {"words": len(words), "counts": dict(sorted(counts.items()))}


@function("demo.add_counts")
def add_counts(given: dict[str, Any]) -> dict[str, Any]:
    """Add several counts up and name the `top` words."""
    total: Counter[str] = Counter()
    for part in given["results"]:
        total.update(part["counts"])
    ranked = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "words": sum(part["words"] for part in given["results"]),
        "distinct": len(total),
        "top": [
            {"word": word, "count": count} for word, count in ranked[: given["top"]]
        ],
    }
