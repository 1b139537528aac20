"""`manage.py create_api_key USERNAME`: print a new API key once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from roles import keys
from roles.management.operators import ByOperator


class Command(ByOperator, BaseCommand):
    help = "Print a new API key of a user; only a digest of it is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--name", default="command line", help="what the key is for"
        )
        parser.add_argument(
            "--allow-meta",
            action="store_true",
            help="offer it the meta-tools over MCP",
        )

    def handle(self, *args: Any, username: str, name: str, **options: Any) -> None:
        user = get_user_model().objects.filter(username=username).first()
        if user is None:
            raise CommandError(
                f"There is no user {username!r}; make one with "
                "`manage.py createsuperuser`."
            )
        if not name.strip() or len(name) > 100:
            raise CommandError("--name takes 1 to 100 characters.")
        key, token = keys.issue(user, name, allows_meta=options["allow_meta"])
        self.stderr.write(
            f"Key {key} of {username}, id {key.pk}; it is shown only this once:"
        )
        self.stdout.write(token)
