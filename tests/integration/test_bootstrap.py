"""`bootstrap` makes an empty database usable, once, and prints one line of JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from core_orchestration import drafts
from executions.models import Execution
from roles import keys
from roles.models import ApiKey, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "below" / "credentials.json"


@pytest.fixture(autouse=True)
def fast_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def bootstrap(file: Path, *options: str) -> dict[str, Any]:
    printed = io.StringIO()
    call_command("bootstrap", "--credentials", str(file), *options, stdout=printed)
    (line,) = printed.getvalue().splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_it_makes_an_administrator_with_a_key(file: Path) -> None:
    answer = bootstrap(file)
    user = User.objects.get(username=answer["username"])
    assert user.is_superuser
    assert user.is_staff
    assert user.check_password(answer["password"])
    key = keys.find(answer["api_key"])
    assert key is not None
    assert key.user == user
    assert answer["demo_execution_id"] is None


def test_only_the_owner_can_read_the_file(file: Path) -> None:
    bootstrap(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_again_it_gives_the_same_answer(file: Path) -> None:
    first = bootstrap(file)
    assert bootstrap(file) == first
    assert (User.objects.count(), ApiKey.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: ApiKey.objects.update(revoked_at=timezone.now()),
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(is_superuser=False),
        lambda: User.objects.update(password="another"),
        lambda: User.objects.all().delete(),
    ],
    ids=["revoked", "inactive", "demoted", "other password", "gone"],
)
def test_credentials_that_are_no_longer_good_are_replaced(
    file: Path, spoil: Any
) -> None:
    old = bootstrap(file)
    spoil()
    new = bootstrap(file)
    assert new["password"] != old["password"]
    assert new["api_key"] != old["api_key"]
    user = User.objects.get()
    assert user.is_active
    assert user.is_superuser
    assert user.check_password(new["password"])
    assert bootstrap(file) == new


@pytest.mark.parametrize("text", ["", "{", "[]", '{"username": "admin"}', "\xff"])
def test_a_file_that_makes_no_sense_is_replaced(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_bytes(text.encode("latin-1"))
    answer = bootstrap(file)
    assert json.loads(file.read_text())["api_key"] == answer["api_key"]


def test_the_demo_runs_once_and_never_again(file: Path) -> None:
    answer = bootstrap(file, "--demo")
    execution = Execution.objects.get()
    assert str(execution.pk) == answer["demo_execution_id"]
    assert execution.orchestration.name == "Data Processing"
    assert bootstrap(file, "--demo")["demo_execution_id"] is None
    assert Execution.objects.count() == 1


def test_a_showcase_that_was_switched_off_stays_off(file: Path) -> None:
    bootstrap(file, "--demo")
    execution = Execution.objects.get()
    showcase = execution.orchestration
    execution.delete()
    drafts.patch(showcase, {"is_active": False})
    assert bootstrap(file, "--demo")["demo_execution_id"] is None


def test_a_showcase_that_was_archived_stays_away(file: Path) -> None:
    bootstrap(file, "--demo")
    execution = Execution.objects.get()
    drafts.archive(execution.orchestration, timezone.now())
    assert bootstrap(file, "--demo")["demo_execution_id"] is None


def run(*arguments: str) -> str:
    printed = io.StringIO()
    call_command("run_orchestration", *arguments, stdout=printed)
    return printed.getvalue().strip()


@pytest.fixture
def shout() -> str:
    Role.objects.create(
        name="Shouter", kind="function", config={"function": "text.upper"}
    )
    schema = {"type": "object", "required": ["text"]}
    steps = [{"name": "A", "role_name": "Shouter"}]
    made = drafts.save({"name": "Shout", "input_schema": schema, "steps": steps})
    return str(made.pk)


def test_an_orchestration_is_run_by_name_or_id(shout: str, tmp_path: Path) -> None:
    document = tmp_path / "input.json"
    document.write_text('{"text": "from a file"}')
    for name, given in (("Shout", '{"text": "hi"}'), (shout, f"@{document}")):
        execution = Execution.objects.get(pk=run(name, "--input", given))
        assert str(execution.orchestration_id) == shout
    assert execution.input == {"text": "from a file"}


def test_waiting_is_bounded_and_says_what_is(shout: str) -> None:
    with pytest.raises(CommandError, match="is pending") as caught:
        run("Shout", "--input", '{"text": "hi"}', "--wait", "0")
    assert caught.value.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("Nothing",), "no orchestration 'Nothing'"),
        (("Shout",), "text"),
        (("Shout", "--input", "{"), "JSON"),
        (("Shout", "--input", "@/nowhere"), "nowhere"),
        (("Shout", "--input", '{"text": NaN}'), "NaN"),
        (("Shout", "--wait", "soon"), "seconds"),
    ],
)
def test_what_cannot_be_run_is_said_plainly(
    shout: str, arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(CommandError, match=complaint):
        run(*arguments)
    assert not Execution.objects.exists()
