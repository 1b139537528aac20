"""
Lists are read from a replica of the database where there is one and it answers.

A replica is late, so nothing else is: not what somebody has just written, and not
what is about to be changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connections,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

REPLICA = "replica"
_AVOIDED_S = 30.0
# The last is what it says about tables that a migration has not reached yet.
_USELESS = (OperationalError, InterfaceError, ProgrammingError)
_avoided_until = 0.0  # monotonic seconds


def read(query: Callable[[str], T]) -> T:
    """
    Call a read with the alias of the database to ask, and return what it returns.

    It is called again, with the primary's, when the replica does not answer; which is
    then left alone for a while, so that not every list waits for it.
    """
    if REPLICA in connections and monotonic() >= _avoided_until:
        try:
            return query(REPLICA)
        except _USELESS as error:
            _avoid(error)
    return query(DEFAULT_DB_ALIAS)


def _avoid(error: Exception) -> None:
    """Leave the replica alone for a while; whoever was on the way there says nothing."""
    global _avoided_until
    is_news, _avoided_until = monotonic() >= _avoided_until, monotonic() + _AVOIDED_S
    if is_news:
        log.warning("Lists are read from the primary for %d s: %s", _AVOIDED_S, error)
    connections[REPLICA].close()


class ListedFromReplica:
    """For views: the pages of the list come from the replica."""

    def paginate_queryset(self, queryset: Any) -> Any:
        page: Any = super().paginate_queryset  # type: ignore[misc]
        return read(lambda alias: page(queryset.using(alias)))
