"""Who sits at the command line, as the audit log names them."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

from roles.acting import Actor, acting_as

if TYPE_CHECKING:
    from django.core.management.base import BaseCommand

    Base = BaseCommand
else:
    Base = object


def os_user() -> str:
    """Name the account of this process; empty for a user id without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


class ByOperator(Base):
    """
    For commands that people give: what they change was done by these people.

    It stands before BaseCommand. What runs for long in the background, such as the
    reconciler, goes without it and is the system.
    """

    def execute(self, *args: Any, **options: Any) -> Any:
        who = Actor(channel="command", user_name=os_user())
        with acting_as(who):
            return super().execute(*args, **options)
