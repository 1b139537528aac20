"""Refuse to start with a key that seals nothing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from roles.secrets.cipher import MAKE_ONE, key_faults


@register()
def encryption_keys(**options: Any) -> list[CheckMessage]:
    """Look at every key of CORE_ENCRYPTION_KEYS."""
    return [
        Error(fault, hint=f"Make a key with: {MAKE_ONE}", id="roles.E001")
        for fault in key_faults(settings.CORE_ENCRYPTION_KEYS)
    ]
