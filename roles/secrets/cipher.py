"""
Seal values and open them again, with the keys of CORE_ENCRYPTION_KEYS.

The first key seals, all of them open. The last resort is a key made from SECRET_KEY:
it is the only one where none is set, and opens what was sealed before one was.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SETTING = "CORE_ENCRYPTION_KEYS"
MAKE_ONE = (
    'python3 -c "import base64, os; '
    'print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
)

_PURPOSE = b"core-orchestration secrets"


class Unreadable(ValueError):
    """No key opens this; the key that sealed it has to be in CORE_ENCRYPTION_KEYS."""


def seal(value: str) -> str:
    """Encrypt a value with the newest key."""
    return _fernet().encrypt(value.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt a value; raises Unreadable when no key fits."""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable(Unreadable.__doc__) from None


def resealed(sealed: str) -> str:
    """Encrypt a sealed value anew with the newest key; raises Unreadable."""
    try:
        return _fernet().rotate(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable(Unreadable.__doc__) from None


def key_faults(keys: Sequence[str]) -> list[str]:
    """Say which keys are malformed, by their place: a key is never shown."""
    return [
        f"The key in place {place} of {SETTING} is none: a key is 32 bytes, written "
        "in 44 characters of URL-safe base64."
        for place, key in enumerate(keys, start=1)
        if not _is_key(key)
    ]


def _is_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _fernet() -> MultiFernet:
    return _made(tuple(settings.CORE_ENCRYPTION_KEYS), settings.SECRET_KEY)


@lru_cache(maxsize=2)
def _made(keys: tuple[str, ...], secret_key: str) -> MultiFernet:
    if faults := key_faults(keys):
        raise ImproperlyConfigured(f"{faults[0]} Make one with: {MAKE_ONE}")
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
    last = base64.urlsafe_b64encode(derived.derive(secret_key.encode()))
    return MultiFernet([*map(Fernet, keys), Fernet(last)])
