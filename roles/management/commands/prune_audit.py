"""`manage.py prune_audit --days N`: let old entries of the audit log leave."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from roles import audit
from roles.management.operators import ByOperator


class Command(ByOperator, BaseCommand):
    help = "Remove entries of the audit log that are older than so many days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=_days, required=True, metavar="N")
        parser.add_argument(
            "--dry-run", action="store_true", help="only count what would be removed"
        )

    def handle(self, *args: Any, days: float, dry_run: bool, **options: Any) -> None:
        before = timezone.now() - timedelta(days=days)
        if dry_run:
            self.stdout.write(f"Would remove {audit.count(before)} entries.")
            return
        removed = audit.prune(before)
        self.stdout.write(f"Removed {removed} entries; this is an entry of its own.")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise ArgumentTypeError("give a number of days above 0, at most 36500")
    return days
