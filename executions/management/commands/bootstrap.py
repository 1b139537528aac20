"""
`manage.py bootstrap`: make an empty database one that a person can log in to.

One start of Django for what a first start needs; run again, it changes nothing that
is still good. `dev.py up` reads the one line that it prints.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from core_orchestration.demo.seed import SHOWCASE, seed
from core_orchestration.examples import example_input
from executions import credentials
from executions.credentials import Credentials
from executions.launch import InvalidInput, NotRunnable, launch
from roles import keys
from roles.catalogue.seeding import ensure_seeded
from roles.management.operators import ByOperator
from roles.models import ApiKey

USERNAME = "admin"


class Command(ByOperator, BaseCommand):
    help = "Migrate, make an administrator with an API key, and seed the demo."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--credentials",
            type=Path,
            required=True,
            metavar="FILE",
            help="where the login and the API key are kept (mode 0600)",
        )
        parser.add_argument("--demo", action="store_true", help="seed and run the demo")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        ensure_seeded()
        login = ensure_login(options["credentials"])
        execution = run_demo(login) if options["demo"] else None
        answer = {
            **login.as_json(),
            "demo_execution_id": execution and str(execution),
        }
        self.stdout.write(json.dumps(answer))


def ensure_login(path: Path) -> Credentials:
    """Return the credentials in the file if they still open the door, else new ones."""
    kept = credentials.load(path)
    if kept is not None and opens(kept):
        _allow_meta(kept)
        return kept
    made = _make_login()
    credentials.store(path, made)
    return made


def opens(login: Credentials) -> bool:
    """Tell whether the password and the key are those of an administrator."""
    key = keys.find(login.api_key)
    if key is None or key.user.get_username() != login.username:
        return False
    return key.user.is_superuser and key.user.check_password(login.password)


def _allow_meta(login: Credentials) -> None:
    """Offer the meta-tools to a key that was made before there were any."""
    if key := keys.find(login.api_key):
        ApiKey.objects.filter(pk=key.pk).update(allows_meta=True)


def run_demo(login: Credentials) -> UUID | None:
    """Seed the demo, and run one of it unless that was ever run or is no longer."""
    user = User.objects.get(username=login.username)
    showcase = next((each for each in seed(by=user) if each.name == SHOWCASE), None)
    if showcase is None or showcase.executions.exists():
        return None
    try:
        return launch(showcase, example_input(showcase), by=user).pk
    except (NotRunnable, InvalidInput):
        return None  # somebody made something else of it


def _make_login() -> Credentials:
    user, _ = User.objects.get_or_create(username=USERNAME)
    password = secrets.token_urlsafe(16)
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    _, token = keys.issue(user, "bootstrap", allows_meta=True)
    return Credentials(username=USERNAME, password=password, api_key=token)
