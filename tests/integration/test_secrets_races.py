"""A secret that is being deleted while somebody names it: one of the two wins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import ProtectedError

from roles.models import Role, Secret
from roles.registry import InvalidRole, save_role
from roles.secrets import vault

pytestmark = pytest.mark.django_db(transaction=True)

CONFIG = {"url": "https://api.example/", "headers": {"X-Key": {"$secret": "key"}}}


@pytest.fixture
def secret(user: User) -> Iterator[Secret]:
    vault.forget()
    yield vault.save_secret({"name": "key", "value": "s3cret-value"}, by=user)
    vault.forget()


@pytest.mark.parametrize("turn", range(5))
def test_a_secret_is_either_named_or_deleted(
    secret: Secret, user: User, turn: int
) -> None:
    def save(number: int) -> str:
        try:
            document = {"name": f"R {number}", "kind": "http", "config": CONFIG}
            save_role(document, by=user)
        except InvalidRole:
            return "refused"
        finally:
            connection.close()
        return "saved"

    def delete(_: int) -> str:
        try:
            vault.delete_secret(secret)
        except vault.SecretInUse:
            return "in use"
        finally:
            connection.close()
        return "deleted"

    with ThreadPoolExecutor(5) as pool:
        calls = [save, save, delete, save, save]
        outcomes = list(pool.map(lambda job: job[1](job[0]), enumerate(calls)))
    saved = outcomes.count("saved")
    assert Role.objects.count() == saved
    if "deleted" in outcomes:
        assert (saved, Secret.objects.count()) == (0, 0)
    else:
        assert saved > 0
        assert Secret.objects.exists()


def test_who_deletes_waits_for_who_names(secret: Secret, user: User) -> None:
    holding, named = Event(), Event()

    def name() -> None:
        try:
            with transaction.atomic():
                vault.hold(CONFIG)
                holding.set()
                assert named.wait(10)
                Role.objects.create(name="web", kind="http", config=CONFIG)
        finally:
            connection.close()

    def delete() -> None:
        try:
            vault.delete_secret(secret)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        naming = pool.submit(name)
        assert holding.wait(10)
        deleting = pool.submit(delete)
        named.set()
        naming.result(10)
        with pytest.raises(vault.SecretInUse):
            deleting.result(10)


def test_a_name_is_taken_once_however_many_ask(user: User) -> None:
    def save(number: int) -> str:
        try:
            vault.save_secret({"name": "one", "value": f"s3cret-value-{number}"})
        except vault.InvalidSecret as error:
            return error.problems[0].code
        finally:
            connection.close()
        return "saved"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(save, range(4)))
    assert outcomes == [*["name_taken"] * 3, "saved"]


def test_nobodys_secret_does_not_come_about_by_itself(
    secret: Secret, user: User
) -> None:
    with pytest.raises(ProtectedError):
        user.delete()
    assert Secret.objects.get().created_by == user
