"""
Put into the catalogue what is known of models, without a network.

Done again, it renews what nobody edited and deletes nothing: a model of these
providers that is no longer known becomes deprecated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from django.db import connection, transaction
from django.utils import timezone

from roles.catalogue.sources import APIS, Entry, entries
from roles.models import LanguageModel

_LOCK = 0x636F7265_6D6F  # whoever seeds holds it; any number that nobody else takes
_FIELDS = (
    "api",
    "context_tokens",
    "input_price",
    "cached_input_price",
    "output_price",
    "capabilities",
    "tier",
    "quality",
    "is_deprecated",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """How many models were added, changed, and left as they were."""

    added: int
    changed: int
    left: int


def seed(known: Iterable[Entry] | None = None) -> Seeded:
    """Bring the catalogue up to date with what is known, or with `known`."""
    found = {each.name: each for each in (entries() if known is None else known)}
    with transaction.atomic():
        _take_lock()
        return _merge(found)


def ensure_seeded() -> None:
    """Fill a catalogue that nobody has filled yet; several may ask at once."""
    if LanguageModel.objects.exists():
        return
    found = {each.name: each for each in entries()}
    with transaction.atomic():
        _take_lock()
        if not LanguageModel.objects.exists():
            _merge(found)


def _take_lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _merge(found: dict[str, Entry]) -> Seeded:
    rows = {each.name: each for each in LanguageModel.objects.select_for_update()}
    new = [
        LanguageModel(**_values(each))
        for name, each in found.items()
        if name not in rows
    ]
    changed = [row for row in rows.values() if _renew(row, found.get(row.name))]
    LanguageModel.objects.bulk_create(new)
    LanguageModel.objects.bulk_update(changed, [*_FIELDS, "updated_at"])
    return Seeded(added=len(new), changed=len(changed), left=len(rows) - len(changed))


def _values(entry: Entry) -> dict[str, object]:
    values = asdict(entry)
    if entry.capabilities is not None:
        values["capabilities"] = list(entry.capabilities)
    return values


def _renew(row: LanguageModel, entry: Entry | None) -> bool:
    """Set what is known now where nobody edited it; tell whether anything changed."""
    if entry is not None:
        values = _values(entry)
        wanted = {field: values[field] for field in _FIELDS}
    elif row.provider in APIS and not _is_of_people(row):
        wanted = {"is_deprecated": True}
    else:
        return False
    differing = {
        field: value
        for field, value in wanted.items()
        if field not in row.edited and getattr(row, field) != value
    }
    for field, value in differing.items():
        setattr(row, field, value)
    if differing:
        row.updated_at = timezone.now()
    return bool(differing)


def _is_of_people(row: LanguageModel) -> bool:
    """Tell a model that somebody entered: all of it counts as edited."""
    return "name" in row.edited
