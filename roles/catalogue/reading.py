"""
The catalogue as this process reads it: at most every few seconds, and all at once.

What was chosen among its models is forgotten with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Any

from roles.catalogue.candidates import Candidate, demo_models, missing_key
from roles.catalogue.seeding import ensure_seeded
from roles.models import LanguageModel, Secret
from roles.runners.hosting import Selection

KEPT_S = 5.0  # so long a process may go on with what somebody has just edited


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """
    The models as this process read them, and the choices made among them since.

    It was read in search of the names in `sought`: they need not be looked for again.
    """

    models: Sequence[Candidate]
    read_at: float  # monotonic seconds
    sought: frozenset[str] = frozenset()
    selections: dict[Any, Selection] = field(default_factory=dict)


_catalogue: Catalogue | None = None
_reading = Lock()


def current(names: Iterable[str] = ()) -> Catalogue:
    """
    Return the catalogue, read anew if that is due; an empty one is seeded.

    It is read at once if it lacks one of `names`: somebody may just have added it.
    """
    global _catalogue
    with _reading:
        here = _catalogue
        if here is None or _is_due(here):
            here = _catalogue = Catalogue(models=_read(), read_at=monotonic())
        if missing := _missing(here, names):
            sought = here.sought | missing
            here = _catalogue = Catalogue(
                models=_read(), read_at=monotonic(), sought=sought
            )
        return here


def forget() -> None:
    """Let this process read the catalogue anew: somebody has just edited it."""
    global _catalogue
    _catalogue = None


def kept() -> Catalogue | None:
    """Return the catalogue if it need not be read anew."""
    here = _catalogue
    return here if here is not None and not _is_due(here) else None


def _read() -> Sequence[Candidate]:
    ensure_seeded()
    rows = list(LanguageModel.objects.order_by("name"))
    wanted = {each.credential for each in rows if each.credential}
    secrets: set[str] = set()
    if wanted:
        found = Secret.objects.filter(name__in=wanted)
        secrets = set(found.values_list("name", flat=True))
    return [*(_candidate(each, secrets) for each in rows), *demo_models()]


def _candidate(row: LanguageModel, secrets: set[str]) -> Candidate:
    missing = ""
    if not row.credential:
        missing = missing_key(row.api, base_url=row.base_url)
    elif row.credential not in secrets:
        missing = f"there is no secret {row.credential!r} for it"
    return Candidate(
        name=row.name,
        provider=row.provider,
        model=row.model,
        api=row.api,
        base_url=row.base_url,
        credential_name=row.credential,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        input_price=row.input_price,
        cached_input_price=row.cached_input_price,
        output_price=row.output_price,
        capabilities=None if row.capabilities is None else frozenset(row.capabilities),
        tier=row.tier,
        quality=row.quality,
        is_deprecated=row.is_deprecated,
        is_active=row.is_active,
        missing=missing,
    )


def _missing(here: Catalogue, names: Iterable[str]) -> set[str]:
    return set(names) - {each.name for each in here.models} - here.sought


def _is_due(here: Catalogue) -> bool:
    return monotonic() - here.read_at > KEPT_S
