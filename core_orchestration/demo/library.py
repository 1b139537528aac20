"""Search the demo's small library, offline, and cite what was found."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from core_orchestration.demo.files import DATA
from roles.functions import FunctionFailed, function

Passage = dict[str, Any]

SATURATION, LENGTH_WEIGHT = 1.5, 0.75  # the usual constants of BM25
_COMMON_WORDS = (
    "a an and are as at be but by do does for from had has have how i if in is it its "
    "no not of on or so such than that the their them then there they this to was we "
    "were what when where which while who why will with would you your"
)
COMMON = frozenset(_COMMON_WORDS.split())


@function("demo.search")
def search(given: dict[str, Any]) -> dict[str, Any]:
    """Return the passages of a `collection` that answer `query` best, scored."""
    collection, query = given["collection"], given["query"]
    passages = [each for each in library() if each["collection"] == collection]
    if not passages:
        known = ", ".join(sorted({each["collection"] for each in library()}))
        raise FunctionFailed(
            f"There is no collection {collection!r}; there are: {known}.",
            type="unknown_collection",
        )
    scores = zip(_scores(terms(query), passages), passages, strict=True)
    ranked = sorted(scores, key=lambda pair: (-pair[0], pair[1]["id"]))
    best = [(score, each) for score, each in ranked if score > 0]
    return {
        "collection": collection,
        "query": query,
        "searched": len(passages),
        "hits": [
            {**each, "score": round(score, 3)}
            for score, each in best[: given.get("limit", 3)]
        ],
    }


@function("demo.cite")
def cite(given: dict[str, Any]) -> dict[str, Any]:
    """List the sources of several searches once each, best first, with a number."""
    hits = [hit for result in given["searches"] for hit in result["hits"]]
    best: dict[str, Passage] = {}
    for hit in sorted(hits, key=lambda each: (-each["score"], each["id"])):
        best.setdefault(hit["id"], hit)
    references = [
        {
            "number": number,
            "id": each["id"],
            "reference": f"{each['author']} ({each['year']}). {each['title']}.",
            "quote": _first_sentence(each["text"]),
        }
        for number, each in enumerate(best.values(), start=1)
    ]
    return {"references": references, "text": _report(given["text"], references)}


def terms(text: str) -> list[str]:
    """Take a text apart into its words, small, without the common ones."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [_stem(word) for word in words if word not in COMMON]


@cache
def library() -> tuple[Passage, ...]:
    return tuple(json.loads((DATA / "library.json").read_text(encoding="utf-8")))


def _stem(word: str) -> str:
    """Treat plain English endings as one word: `crashes`, `crashed`, `crash`."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word


def _scores(wanted: Iterable[str], passages: list[Passage]) -> list[float]:
    """Score each passage by BM25: rare words count more, long texts less."""
    counted = [Counter(terms(f"{each['title']} {each['text']}")) for each in passages]
    average = sum(map(Counter.total, counted)) / len(counted)
    present = Counter(word for words in counted for word in words)
    rarity = {
        word: math.log(1 + (len(counted) - present[word] + 0.5) / (present[word] + 0.5))
        for word in set(wanted)
    }
    return [_score(words, rarity, words.total() / average) for words in counted]


def _score(words: Counter[str], rarity: dict[str, float], length: float) -> float:
    damping = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length)
    return sum(
        weight * words[word] * (SATURATION + 1) / (words[word] + damping)
        for word, weight in sorted(rarity.items())
    )


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def _report(text: str, references: list[Passage]) -> str:
    listed = "\n".join(f"[{each['number']}] {each['reference']}" for each in references)
    return f"{text.strip()}\n\nSources\n{listed or 'none'}"
