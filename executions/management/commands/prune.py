"""`manage.py prune`: let old executions leave now, without waiting for a reconciler."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from executions import retention
from executions.archive import NotArchived
from executions.retention import Swept


class Command(BaseCommand):
    help = (
        "Remove finished executions, and rows of Celery's result backend, that are "
        "older than CORE_RETENTION_DAYS; archive executions if CORE_ARCHIVE_DIR is set."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days",
            type=_days,
            default=settings.CORE_RETENTION_DAYS,
            metavar="N",
            help="the age to use in place of CORE_RETENTION_DAYS",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="only count what would be removed"
        )

    def handle(self, *args: Any, days: float, dry_run: bool, **options: Any) -> None:
        if not days > 0:
            raise CommandError("CORE_RETENTION_DAYS keeps everything: give --days.")
        if dry_run:
            self._tell("Would remove", retention.count(days))
            return
        executions = results = signals = periods = 0
        try:
            for swept in retention.sweep(days):
                executions += swept.executions
                results += swept.results
                signals += swept.signals
                periods += swept.periods
        except NotArchived as error:
            raise CommandError(str(error)) from error
        finally:
            whole = Swept(executions=executions, results=results, periods=periods)
            self._tell("Removed", whole)
            if signals:
                self.stdout.write(f"Removed {signals} events that had been posted.")
            if periods:
                self.stdout.write(f"Dropped the partitions of {periods} periods.")

    def _tell(self, what: str, swept: Swept) -> None:
        self.stdout.write(
            f"{what} {swept.executions} executions and {swept.results} rows of "
            "Celery's results."
        )


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not days > 0:
        raise ArgumentTypeError("give a number of days above 0")
    return days
