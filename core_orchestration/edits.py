"""What an edit changed of an orchestration, as the audit log keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from core_orchestration.definition import Definition, to_json
from core_orchestration.models import Orchestration
from core_orchestration.rows import lists_of
from roles import audit
from roles.audit.documents import differing

_LISTS = ("steps", "on_failure")
Document = Mapping[str, Any]


def stored(
    orchestration: Orchestration | None, fields: Iterable[str]
) -> dict[str, Any] | None:
    """
    Read what there is before an edit, and hold it: a form has changed the object already.

    Steps are kept by their keys; those in a body name the step that it is of.
    """
    if orchestration is None:
        return None
    rows = Orchestration.objects.select_related("published")
    held = rows.defer("published__definition").select_for_update(
        of=("self",), no_key=True
    )
    return _written(held.get(pk=orchestration.pk), fields, lists_of(orchestration))


def note(
    saved: Orchestration,
    definition: Definition,
    fields: Iterable[str],
    before: Document | None,
) -> None:
    """Put a save on record, unless nothing is other than it was `before`."""
    after: Document = _written(saved, fields, to_json(definition))
    if before == after:
        return
    if before is None:
        record("orchestration.create", saved, after=after)
        return
    old, new = differing(before, after)
    for name in set(_LISTS).intersection(new):
        old[name], new[name] = _differing_steps(old[name], new[name])
    record(_action(new), saved, before=old, after=new)


def record(
    action: str,
    orchestration: Orchestration,
    *,
    before: Document | None = None,
    after: Document | None = None,
) -> None:
    """Put a change of an orchestration on record."""
    audit.record(
        action,
        object_type="orchestration",
        object_id=orchestration.pk,
        object_name=orchestration.name,
        before=before,
        after=after,
    )


def switching(on: bool) -> str:
    """Name what makes an orchestration active, or not."""
    return "orchestration.activate" if on else "orchestration.deactivate"


def _action(after: Document) -> str:
    changed: Collection[str] = after.keys()
    if changed == {"version"}:
        return "orchestration.publish"
    if changed == {"is_active"}:
        return switching(after["is_active"])
    return "orchestration.update"


def _written(
    orchestration: Orchestration, fields: Iterable[str], lists: Document
) -> dict[str, Any]:
    published = orchestration.published
    return {
        **{name: getattr(orchestration, name) for name in fields},
        "version": published.number if published else None,
        **{name: dict(_by_key(lists[name])) for name in _LISTS},
    }


def _by_key(
    steps: Iterable[Document], parent: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    for step in steps:
        fields = {name: value for name, value in step.items() if name != "steps"}
        yield step["key"], {**fields, "parent": parent}
        yield from _by_key(step["steps"], step["key"])


def _differing_steps(
    before: Document, after: Document
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keep the steps that are not the same: of those in both, what differs."""
    old, new = differing(before, after)
    for key in old.keys() & before.keys() & after.keys():
        old[key], new[key] = differing(before[key], after[key])
    return old, new
