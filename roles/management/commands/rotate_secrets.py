"""`manage.py rotate_secrets`: encrypt all secrets anew with the newest key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from roles import audit
from roles.management.operators import ByOperator
from roles.models import Secret
from roles.secrets import cipher


class Command(ByOperator, BaseCommand):
    help = (
        "Encrypt all secrets anew with the first key of CORE_ENCRYPTION_KEYS. "
        "Afterwards the other keys can be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Secret.objects.order_by("name").values_list("pk", "name", "ciphertext")
        lost, done = [], 0
        for pk, name, sealed in rows:
            try:
                again = cipher.resealed(sealed)
            except cipher.Unreadable:
                lost.append(name)
                continue
            # A value that somebody saved meanwhile has the newest key already.
            done += Secret.objects.filter(pk=pk, ciphertext=sealed).update(
                ciphertext=again
            )
        audit.record("secret.rotate", object_type="secret", detail=f"{done} secrets")
        self.stdout.write(f"Encrypted {done} secrets with the newest key.")
        if lost:
            raise CommandError(
                f"No key of {cipher.SETTING} opens {', '.join(lost)}: put the key back "
                "that did, or save these values anew."
            )
