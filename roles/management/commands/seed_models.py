"""`manage.py seed_models`: bring the catalogue of language models up to date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from roles.catalogue.seeding import seed
from roles.management.operators import ByOperator


class Command(ByOperator, BaseCommand):
    help = "Add and renew the models that this installation knows; edits are kept."

    def handle(self, *args: Any, **options: Any) -> None:
        done = seed()
        self.stdout.write(
            f"{done.added} models added, {done.changed} changed, {done.left} left as "
            "they were."
        )
