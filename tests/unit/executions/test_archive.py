"""The archive's files: members in a row, whole or as they were."""

from __future__ import annotations

import gzip
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import pytest

from executions import archive
from executions.archive import SEAL, NotArchived

DAY = date(2031, 5, 7)
BROKEN = (EOFError, gzip.BadGzipFile)
NAME = "executions-2031-05-07.jsonl.gz"


def lines(path: Path) -> list[str]:
    """Read a file as anybody would who knows gzip."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def readable_lines(path: Path) -> list[str]:
    """Read what a file has before it breaks off."""
    found: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as file, suppress(*BROKEN):
        found.extend(line.rstrip("\n") for line in file)
    return found


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noise() -> str:
    """Make text that does not get smaller when it is compressed."""
    return os.urandom(50_000).hex()


def test_a_seal_is_a_gzip_member_of_nothing() -> None:
    assert gzip.decompress(SEAL) == b""


def test_lines_come_back_whole_and_in_order(tmp_path: Path) -> None:
    path = archive.append(tmp_path, ['{"a":', ' "ä€😀"}\n', "{}\n"], day=DAY)
    assert archive.append(tmp_path, ["[]\n"], day=DAY) == path

    assert path.name == NAME
    assert lines(path) == ['{"a": "ä€😀"}', "{}", "[]"]


def test_each_day_has_its_file(tmp_path: Path) -> None:
    archive.append(tmp_path, ["1\n"], day=DAY)
    archive.append(tmp_path, ["2\n"], day=date(2031, 5, 8))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        NAME,
        "executions-2031-05-08.jsonl.gz",
    ]


def test_strangers_may_not_read_it(tmp_path: Path) -> None:
    path = archive.append(tmp_path, ["1\n"], day=DAY)
    assert path.stat().st_mode & 0o007 == 0


def test_wherever_an_append_was_cut_short_the_earlier_lines_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = archive.append(tmp_path, ["first\n"], day=DAY)
    first = path.stat().st_size
    archive.append(tmp_path, ["second, lost\n"], day=DAY)
    whole = path.read_bytes()

    for size in range(first + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert readable_lines(path)[:1] == ["first"]
        with caplog.at_level(logging.WARNING):
            archive.append(tmp_path, ["third\n"], day=DAY)
        assert lines(path) == ["first", "third"]
    assert len(caplog.records) == len(whole) - first - 1


def test_pages_that_never_reached_the_disk_are_cut_off(tmp_path: Path) -> None:
    # A file may be as long as it was going to be, and hold zeros.
    path = archive.append(tmp_path, ["first\n"], day=DAY)
    with path.open("ab") as file:
        file.write(bytes(5000))

    archive.append(tmp_path, ["second\n"], day=DAY)

    assert lines(path) == ["first", "second"]


def test_a_file_without_a_seal_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / NAME
    others = gzip.compress(b"somebody else's\n")
    path.write_bytes(others)

    archive.append(tmp_path, ["ours\n"], day=DAY)

    (aside,) = (other for other in tmp_path.iterdir() if other != path)
    assert aside.name.startswith(f"{NAME}.torn-")
    assert aside.read_bytes() == others
    assert lines(path) == ["ours"]


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    assert lines(archive.append(tmp_path, ["1\n"], day=DAY)) == ["1"]


def test_a_full_disk_leaves_a_file_as_it_was(tmp_path: Path) -> None:
    path = archive.append(tmp_path, ["first\n"], day=DAY)
    before = path.read_bytes()

    with room_for(20_000), pytest.raises(OSError, match="File too large"):
        archive.append(tmp_path, [noise()], day=DAY)

    assert path.read_bytes() == before
    archive.append(tmp_path, ["second\n"], day=DAY)
    assert lines(path) == ["first", "second"]


def test_a_full_disk_leaves_no_broken_file(tmp_path: Path) -> None:
    with room_for(20_000), pytest.raises(OSError, match="File too large"):
        archive.append(tmp_path, [noise()], day=DAY)
    assert list(tmp_path.iterdir()) == []


def test_lines_that_cannot_be_made_leave_a_file_as_it_was(tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield noise()
        raise ValueError("no JSON")

    path = archive.append(tmp_path, ["first\n"], day=DAY)
    before = path.read_bytes()

    with pytest.raises(ValueError, match="no JSON"):
        archive.append(tmp_path, broken(), day=DAY)

    assert path.read_bytes() == before


def test_a_fault_says_what_can_be_done(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(NotArchived) as fault, archive.locked(missing):
        pass
    assert str(missing) in str(fault.value)
    assert "No such file" in str(fault.value)
    assert "Create the folder" in str(fault.value)


def test_a_fault_of_the_disk_under_the_lock_is_one_of_the_archive(
    tmp_path: Path,
) -> None:
    with pytest.raises(NotArchived, match="No space left"), archive.locked(tmp_path):
        raise OSError(28, "No space left on device")


def test_other_errors_under_the_lock_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), archive.locked(tmp_path):
        raise ValueError("no")
