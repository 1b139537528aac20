from __future__ import annotations

import re
from pathlib import Path

from config.dev.environment import for_application, read_dotenv
from config.dev.layout import ROOT


def complete(given: dict[str, str]) -> dict[str, str]:
    return for_application(
        given,
        url="http://127.0.0.1:8000",
        secret_key="made up",
        encryption_key="made up, too",
        database_url="postgresql:///core",
        redis_url="unix:///valkey.sock",
    )


def test_a_dotenv_file_may_hold_comments_quotes_and_export(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# CORE_DEBUG=1\n"
        "export CORE_MODEL=demo:echo\n"
        'CORE_SECRET_KEY="a # b"\n'
        "OPENAI_API_KEY = 'key'  \n"
        "REDIS_URL=redis://localhost/0?a=b # here\n"
        "no assignment\n"
        "EMPTY=\n"
    )
    assert read_dotenv(path) == {
        "CORE_MODEL": "demo:echo",
        "CORE_SECRET_KEY": "a # b",
        "OPENAI_API_KEY": "key",
        "REDIS_URL": "redis://localhost/0?a=b",
        "EMPTY": "",
    }


def test_a_missing_dotenv_file_sets_nothing(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}


def test_what_somebody_has_set_is_not_overridden() -> None:
    env = complete({"CORE_DEBUG": "1", "CORE_SECRET_KEY": "mine", "OTHER": "x"})
    assert (env["CORE_DEBUG"], env["CORE_SECRET_KEY"], env["OTHER"]) == (
        "1",
        "mine",
        "x",
    )


def test_an_empty_value_counts_as_not_set() -> None:
    env = complete({"CORE_SECRET_KEY": "", "DATABASE_URL": ""})
    assert env["CORE_SECRET_KEY"] == "made up"
    assert env["CORE_ENCRYPTION_KEYS"] == "made up, too"
    assert env["DATABASE_URL"] == "postgresql:///core"


def test_debug_is_off_and_only_local_hosts_are_served_by_default() -> None:
    env = complete({})
    assert env["CORE_DEBUG"] == "0"
    assert env["CORE_ALLOWED_HOSTS"] == "localhost,127.0.0.1,testserver"
    assert env["CORE_PUBLIC_URL"] == "http://127.0.0.1:8000"


def test_every_variable_of_the_settings_is_in_the_example() -> None:
    settings = (ROOT / "config" / "settings.py").read_text()
    example = (ROOT / ".env.example").read_text()

    names = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', settings))

    assert names
    assert {name for name in names if f"{name}=" not in example} == set()
