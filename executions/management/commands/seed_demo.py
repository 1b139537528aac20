"""`manage.py seed_demo`: put the demo orchestrations and their roles in place."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from core_orchestration.demo.seed import seed
from roles.management.operators import ByOperator


class Command(ByOperator, BaseCommand):
    help = "Make the demo's roles and orchestrations that do not exist yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reset-demo",
            action="store_true",
            help="make the demo again what it was, edits of it included",
        )

    def handle(self, *args: Any, reset_demo: bool, **options: Any) -> None:
        for orchestration in seed(reset=reset_demo):
            self.stdout.write(f"{orchestration.pk}  {orchestration.name}")
