from __future__ import annotations

import signal
from pathlib import Path

import pytest

from config.dev.cli import main
from config.dev.process import ending
from config.dev.sockets import fits
from config.dev.supervisor import restart_delay
from config.dev.testing import for_pytest


def test_the_wait_before_a_restart_doubles_up_to_half_a_minute() -> None:
    assert [restart_delay(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-63, "was killed by signal 63"),
    ],
)
def test_an_ending_is_told_in_words(code: int, words: str) -> None:
    assert ending(code) == words


@pytest.mark.parametrize(
    ("folder", "usable"),
    [
        ("/srv/core/.data/valkey/sockets", True),
        ("/srv/" + "x" * 100, False),
        ("/srv/with blanks", False),
        ("/srv/100%", False),
        ("/srv/ü", False),
    ],
)
def test_a_socket_path_is_short_and_plain(folder: str, usable: bool) -> None:
    assert fits(Path(folder)) is usable


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_that_cannot_be_is_refused(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["up", f"--port={port}"])
    assert left.value.code == 2
    assert "is not a port (1 to 65535)" in capsys.readouterr().err


def test_an_unknown_command_is_answered_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["launch"])
    error = capsys.readouterr().err
    assert "launch" in error
    assert all(name in error for name in ("up", "test", "reset", "doctor"))


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "python3 dev.py up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], []),
        (["--no-lint"], []),
        (["-k", "retry"], ["-k", "retry"]),
        (["--faults"], ["tests/faults"]),
        (["--no-lint", "--faults", "-x"], ["tests/faults", "-x"]),
    ],
)
def test_pytest_is_told_what_is_not_the_commands_own(
    arguments: list[str], told: list[str]
) -> None:
    assert for_pytest(arguments) == told
