"""Write a headline and find fault with it, until nothing loud is left."""

from __future__ import annotations

import re
from typing import Any

from core_orchestration.demo.writing import LOUD, advertising
from roles.functions import function

_BEST, _PER_WORD = 10, 2


@function("demo.write_headline")
def write_headline(given: dict[str, Any]) -> str:
    """Begin with the task, and then leave out the first word that was criticised."""
    if given.get("criticism") is None:
        return str(given["task"])
    text, words = str(given["result"]), given["criticism"]["words"]
    if words:
        text = re.sub(rf"{re.escape(words[0])}\W*", "", text, flags=re.IGNORECASE)
    return " ".join(text.split())


@function("demo.criticise_headline")
def criticise_headline(given: dict[str, Any]) -> dict[str, Any]:
    """Name the words of a headline that advertise or shout; each costs points."""
    text = given["result"]
    loud = sorted(set(LOUD.findall(text)))
    words = [*advertising(text), *loud]
    return {"score": max(0, _BEST - _PER_WORD * len(words)), "words": words}
