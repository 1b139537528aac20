"""
What an entry keeps of a document: what differs, in a size that can be read.

It is somebody's input, so nothing is taken for granted: what PostgreSQL cannot store
is spelled out, and what is named like a credential is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from roles.storable import storable_problems

LONGEST_TEXT = 2_000  # characters of one value in a document that is too long
LONGEST_DOCUMENT = 20_000
HIDDEN = "[hidden]"
MORE = "…"

_CREDENTIAL = re.compile(
    r"(^|[-_ ])(authorization|cookie|credentials?|passw(or)?d|passphrase|secret|token"
    r"|(api|access|private|secret)[-_ ]?key|apikey)$",
    re.IGNORECASE,
)
_OF_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_KEY_OF_OURS = re.compile(r"core_([0-9a-f]{8})_[0-9a-f]{48}", re.ASCII)


def differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keep of two documents the fields that are not the same in both."""
    names = sorted(
        name for name in {*before, *after} if before.get(name) != after.get(name)
    )
    return (
        {name: before.get(name) for name in names},
        {name: after.get(name) for name in names},
    )


def kept(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Write a document as an entry keeps it: JSON, of limited size, without secrets."""
    if document is None:
        return None
    try:
        whole = _fits(document, LONGEST_DOCUMENT)
        cut = _open(document) if whole else _beginning(document, LONGEST_DOCUMENT)
    except RecursionError:
        return {MORE: "It is too deep to be kept."}
    found: dict[str, Any] = json.loads(_text(cut))
    if storable_problems(found):  # spelled out: `\u0000` becomes six characters
        return {ascii(name): json.dumps(value) for name, value in found.items()}
    return found


def shortened(value: Any) -> Any:
    """Return a JSON value, or the beginning of its text if it is long."""
    try:
        return _cut(value)
    except RecursionError:
        return MORE


def storable_text(text: str, longest: int) -> str:
    """Return the beginning of a text, without what PostgreSQL does not take."""
    whole = text[:longest].replace("\0", "�")
    return whole.encode("utf-8", "replace").decode()


def _fits(value: Any, room: int) -> bool:
    """Tell whether a value's text has at most so many characters; read no further."""
    used = 0
    for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        used += len(piece)
        if used > room:
            return False
    return True


def _beginning(document: Mapping[Any, Any], room: int) -> dict[str, Any]:
    """Keep as many members as there is room for, each cut where it is long."""
    cut: dict[str, Any] = {}
    for name, value in document.items():
        if room <= 0:
            break
        cut[str(name)] = _beginning_of(value, str(name), room)
        room -= len(_text(cut[str(name)])) + len(str(name)) + len('"": , ')
    if left := len(document) - len(cut):
        cut[MORE] = f"{left:,} more"
    return cut


def _beginning_of(value: Any, name: str, room: int) -> Any:
    if isinstance(value, Mapping) and not _fits(value, LONGEST_TEXT):
        return _beginning(value, room)
    return _cut(value, name)


def _cut(value: Any, name: str = "") -> Any:
    shown = _open(value, name)
    if _fits(shown, LONGEST_TEXT):
        return shown
    text = shown if isinstance(shown, str) else _text(shown)
    return f"{text[:LONGEST_TEXT]}{MORE}"


def _open(value: Any, name: str = "") -> Any:
    """Leave out what may not be read by everybody who reads the audit log."""
    if isinstance(value, Mapping):
        return {str(key): _open(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_open(each, name) for each in value]
    if not isinstance(value, str):
        return value
    # What is rendered later names a secret, and does not hold it.
    if value and "{{" not in value and _CREDENTIAL.search(_OF_CAMEL.sub("_", name)):
        return HIDDEN
    return _KEY_OF_OURS.sub(r"core_\1_" + HIDDEN, value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
