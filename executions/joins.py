"""
Where parallel branches meet: Celery's chord, counted in PostgreSQL.

The stock backend counts down one number per chord: a part delivered twice fires the
body early, and a death between deleting the counter and publishing the body loses
it. Here nothing is counted: a part that returns looks whether every step of its
group is settled, and publishes the body if so. That may publish it twice, never
zero times; the body's own compare-and-set lets one through. Chords of other tasks
work as django-celery-results has them.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from celery import signature
from django_celery_results.backends.database import DatabaseBackend
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from executions import failpoints, pinned, situation
from executions.database import UNREACHABLE
from executions.paths import TOP
from executions.signatures import JOIN

log = logging.getLogger(__name__)


class RecordBackend(DatabaseBackend):  # type: ignore[misc]
    """django-celery-results' backend, with joins that look at the record."""

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        if body["task"] != JOIN:
            super().apply_chord(header_result_args, body, **kwargs)

    def on_chord_part_return(
        self, request: Any, state: Any, result: Any, **kwargs: Any
    ) -> None:
        body = request.chord
        if body["task"] != JOIN:
            super().on_chord_part_return(request, state, result, **kwargs)
        elif self._all_settled(body["kwargs"]):
            failpoints.reach("after_part")
            self._publish(body)

    def _publish(self, body: dict[str, Any]) -> None:
        try:
            signature(body, app=self.app).apply_async()
        except (BrokerError, RedisError, OSError) as error:
            log.warning("A join is sent later: %s", error)

    def _all_settled(self, address: dict[str, Any]) -> bool:
        try:
            plan = pinned.plan_in(address["version"], address.get("frame", TOP))
            block = plan.blocks[address["block"]]
            return situation.all_settled(UUID(address["execution"]), plan, block)
        except UNREACHABLE as error:
            # The reconciler sends joins that never fired.
            log.warning("A join waits for PostgreSQL: %s", error)
            return False
