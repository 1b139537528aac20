"""`manage.py partition`: divide step runs and events by time, once and for all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from executions.partitions import catalog, conversion, upkeep
from executions.partitions.locking import Busy
from executions.partitions.periods import Period, moment_of
from executions.partitions.preparation import BeyondBound


class Command(BaseCommand):
    help = (
        "Turn the tables of step runs and events into partitioned ones, a partition "
        "for each CORE_PARTITION_DAYS, so that what is old leaves at once. Works "
        "beside a running installation and keeps all rows; see docs/partitions.md."
    )
    requires_migrations_checks = True

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            converted = conversion.convert(now, days=settings.CORE_PARTITION_DAYS)
        except (Busy, BeyondBound) as error:
            raise CommandError(str(error)) from error
        if not converted:
            self.stdout.write("The tables are partitioned already.")
        made = upkeep.prepare(now)
        for period in catalog.read().periods:
            self.stdout.write(_line(period, is_new=period in made))


def _line(period: Period, *, is_new: bool) -> str:
    begin = f"from {moment_of(period.low):%Y-%m-%d} " if period.low.int else ""
    new = ", made just now" if is_new else ""
    return f"  {period.name}: {begin}until {moment_of(period.high):%Y-%m-%d}{new}"
