"""
From forms to a document, and from a problem's pointer back to the form.

The forms are flat and the document is a tree; an entry remembers both places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    from uuid import UUID

    from core_orchestration.models import OrchestrationStep


@dataclass(slots=True, kw_only=True)
class Entry:
    """One step as it was entered, with the steps of its body."""

    form: forms.BaseForm
    step: dict[str, Any]
    inside: str | None = None  # the key of the step whose body it belongs to
    on_failure: bool = False  # whether it is one of that list, not of `steps`
    body: list[Entry] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {**self.step, "steps": [entry.document() for entry in self.body]}

    def inner(self) -> Iterator[Entry]:
        """Yield the entries of any depth inside of it."""
        for entry in self.body:
            yield entry
            yield from entry.inner()


def tree(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """
    Put entries into the bodies that they name; return the top level and the lost.

    Lost are those inside a step that does not exist, or, by a detour, inside
    themselves. Entries without an order come last among all, as they were given.
    """
    ordered = _ordered(entries)
    places: dict[Any, list[Entry]] = {}
    for entry in ordered:
        places.setdefault(entry.inside, []).append(entry)
    top = places.get(None, [])
    reached = list(top)
    for entry in reached:  # grows as bodies are found
        entry.body = places.get(entry.step.get("key"), []) if _named(entry) else []
        reached.extend(entry.body)
    known = set(map(id, reached))
    return top, [entry for entry in ordered if id(entry) not in known]


def with_bodies(rows: Iterable[OrchestrationStep]) -> list[OrchestrationStep]:
    """Put each row right before those of its body; within one, they stay in order."""
    bodies: dict[UUID | None, list[OrchestrationStep]] = defaultdict(list)
    for row in rows:
        bodies[row.parent_id].append(row)
    shown, waiting = [], bodies[None][::-1]
    while waiting:
        shown.append(waiting.pop())
        waiting += reversed(bodies[shown[-1].pk])
    return shown


def lists(top: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Tell the steps of the document's two lists apart."""
    return {
        "steps": [entry for entry in top if not entry.on_failure],
        "on_failure": [entry for entry in top if entry.on_failure],
    }


def located(top: Sequence[Entry], pointer: str) -> tuple[Entry | None, str]:
    """
    Find the entry that a pointer such as `/steps/2/condition` leads to.

    Returns it with the rest of the pointer, and None for what lies in no step.
    """
    found: Entry | None = None
    places: dict[str, list[Entry]] = lists(top)
    segments = pointer.split("/")[1:]
    while len(segments) >= 2 and segments[0] in places and segments[1].isdecimal():
        place, entries = int(segments[1]), places[segments[0]]
        if place >= len(entries):
            break
        found = entries[place]
        places, segments = {"steps": found.body}, segments[2:]
    return found, "".join(chain.from_iterable(("/", each) for each in segments))


def _named(entry: Entry) -> bool:
    return bool(entry.step.get("key"))


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    given = list(entries)
    orders = [entry.step.get("order") for entry in given]
    last = max((order for order in orders if order is not None), default=-1)
    for entry in given:
        if entry.step.get("order") is None:
            last += 1
            entry.step["order"] = last
    return sorted(given, key=lambda entry: int(entry.step["order"]))
