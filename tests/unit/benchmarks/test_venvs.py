from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import venvs
from benchmarks.systems import System
from benchmarks.venvs import Skipped, install


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(venvs, "HOME", tmp_path / "home")
    return tmp_path / "home"


def peer(folder: Path, requirements: str | None = None) -> System:
    folder.mkdir()
    if requirements is not None:
        (folder / "driver.py").touch()
        (folder / "requirements.txt").write_text(requirements)
    return System(name="peer", title="Peer", folder=folder, cases=())


def test_a_system_without_a_driver_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(Skipped, match="no driver"):
        install(peer(tmp_path / "peer"))


def test_what_cannot_be_installed_is_skipped_and_tried_again(
    tmp_path: Path, home: Path
) -> None:
    system = peer(tmp_path / "peer", "./there-is-no-such-file.whl\n")
    for _ in range(2):
        with pytest.raises(Skipped, match="install"):
            install(system)
    assert not (home / "venvs" / "peer" / "requirements.txt").exists()


def test_an_environment_of_the_same_requirements_is_kept(
    tmp_path: Path, home: Path
) -> None:
    system = peer(tmp_path / "peer", "one==1\n")
    made = home / "venvs" / "peer"
    (made / "bin").mkdir(parents=True)
    (made / "requirements.txt").write_text("one==1\n")
    assert install(system).python == made / "bin" / "python"
