"""Measure a text as an editor would: search words, claims, tone; then publish it."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from typing import Any

from roles.functions import function

LONG_SENTENCE = 25  # words
LOUD = re.compile(r"!+|\b[A-Z]{4,}\b")
_PUFFERY = (
    "amazing best cutting-edge effortless game-changing incredible leading magical "
    "revolutionary seamless ultimate unbelievable world-class"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@function("demo.check_seo")
def check_seo(given: dict[str, Any]) -> dict[str, Any]:
    """Count the wanted `keywords` in a text; name those that are missing."""
    text = given["text"].lower()
    words = max(1, len(_words(text)))
    found = {word: _count(word.lower(), text) for word in given["keywords"]}
    missing = [word for word, times in found.items() if not times]
    return {
        "words": words,
        "keywords": found,
        "density": round(sum(found.values()) / words, 4),
        "suggestions": [f"Use the keyword {word!r}." for word in missing],
    }


@function("demo.check_facts")
def check_facts(given: dict[str, Any]) -> dict[str, Any]:
    """Find the sentences with figures, and those that no given fact supports."""
    known = set(_NUMBER.findall(" ".join(given["facts"])))
    claims = [each for each in sentences(given["text"]) if _NUMBER.search(each)]
    unsupported = [
        each for each in claims if not known.issuperset(_NUMBER.findall(each))
    ]
    return {
        "claims": len(claims),
        "unsupported": unsupported,
        "suggestions": [f"Back up or drop: {each}" for each in unsupported],
    }


@function("demo.check_tone")
def check_tone(given: dict[str, Any]) -> dict[str, Any]:
    """Measure sentence length, shouting and advertising words."""
    parts = sentences(given["text"])
    lengths = [len(_words(each)) for each in parts]
    long = [each for each in parts if len(_words(each)) > LONG_SENTENCE]
    puffed = advertising(given["text"])
    loud = sorted(set(LOUD.findall(given["text"])))
    return {
        "sentences": len(parts),
        "words_per_sentence": round(sum(lengths) / max(1, len(lengths)), 1),
        "suggestions": [
            *(f"Shorten: {each}" for each in long),
            *(f"Say it without {word!r}." for word in puffed),
            *(f"Less loud: {mark}" for mark in loud),
        ],
    }


@function("demo.publish")
def publish(given: dict[str, Any]) -> dict[str, Any]:
    """Turn a title and a text into an HTML article with an address and a hash."""
    paragraphs = [each.strip() for each in given["text"].split("\n\n") if each.strip()]
    body = "\n".join(f"<p>{html.escape(each)}</p>" for each in paragraphs)
    article = f"<article>\n<h1>{html.escape(given['title'])}</h1>\n{body}\n</article>"
    return {
        "slug": slug(given["title"]),
        "html": article,
        "words": len(_words(given["text"])),
        "sha256": hashlib.sha256(article.encode()).hexdigest(),
    }


def slug(title: str) -> str:
    """Spell a title as the last part of an address."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower())) or "untitled"


def advertising(text: str) -> list[str]:
    """List the words of a text that only advertise."""
    return sorted(set(_PUFFERY.split()).intersection(_words(text.lower())))


def sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?])\s+|\n+", text)
    return [part.strip() for part in parts if part.strip()]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'\u2019-]+", text)


def _count(phrase: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(phrase)}(?!\w)", text))
