"""Keys: the newest seals, all open, and one that is none stops the start."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from roles.secrets import cipher
from roles.secrets.checks import encryption_keys

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_what_is_sealed_is_opened_and_does_not_show(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    sealed = cipher.seal("s3cret-välue")
    assert "s3cret" not in sealed
    assert sealed != cipher.seal("s3cret-välue")
    assert cipher.unseal(sealed) == "s3cret-välue"


def test_an_older_key_still_opens(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = [OLD]
    sealed = cipher.seal("s3cret-value")
    settings.CORE_ENCRYPTION_KEYS = [NEW, OLD]
    assert cipher.unseal(sealed) == "s3cret-value"
    again = cipher.resealed(sealed)
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    assert cipher.unseal(again) == "s3cret-value"
    with pytest.raises(cipher.Unreadable):
        cipher.unseal(sealed)
    with pytest.raises(cipher.Unreadable):
        cipher.resealed(sealed)


def test_without_keys_one_is_made_from_the_secret_key(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = []
    sealed = cipher.seal("s3cret-value")
    settings.CORE_ENCRYPTION_KEYS = [NEW]
    assert cipher.unseal(sealed) == "s3cret-value"
    settings.SECRET_KEY = "another one"
    with pytest.raises(cipher.Unreadable):
        cipher.unseal(sealed)


@pytest.mark.parametrize("sealed", ["", "nonsense", "gAAAAA=="])
def test_what_is_no_seal_is_unreadable(sealed: str) -> None:
    with pytest.raises(cipher.Unreadable, match="CORE_ENCRYPTION_KEYS"):
        cipher.unseal(sealed)


@pytest.mark.parametrize("key", ["", "short", NEW[:-2], "not base64 at all, is it?"])
def test_a_malformed_key_is_refused_with_a_command_and_not_shown(
    settings: Settings, key: str
) -> None:
    settings.CORE_ENCRYPTION_KEYS = [NEW, key]
    (problem,) = encryption_keys()
    assert problem.id == "roles.E001"
    assert "place 2 of CORE_ENCRYPTION_KEYS" in problem.msg
    assert not key or key not in f"{problem.msg}{problem.hint}"
    with pytest.raises(ImproperlyConfigured, match="place 2"):
        cipher.seal("s3cret-value")


def test_good_keys_pass_the_check(settings: Settings) -> None:
    settings.CORE_ENCRYPTION_KEYS = [NEW, OLD]
    assert encryption_keys() == []


def test_the_command_of_the_hint_makes_a_key() -> None:
    command = cipher.MAKE_ONE.removeprefix('python3 -c "').removesuffix('"')
    made = subprocess.run(  # noqa: S603
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert cipher.key_faults([made.stdout.strip()]) == []
