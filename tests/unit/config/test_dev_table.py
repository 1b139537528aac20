from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from config.dev.layout import ROOT, Data
from config.dev.process import Spec
from config.dev.table import Application


def application(*, workers: int = 1, **env: str) -> Application:
    return Application(
        python=Path("/venv/bin/python"),
        data=Data(Path("/data")),
        env=env,
        port=8123,
        workers=workers,
        processors=1,
    )


def by_name(app: Application) -> dict[str, Spec]:
    return {spec.name: spec for spec in app.specs()}


def options(command: str) -> set[str]:
    """Reduce a command line to what it runs and how, less what differs by place."""
    words = [word for word in shlex.split(command) if "=" not in word]
    chosen = {"-A", "-P", "-Q", "-m"}
    pairs = {f"{a} {b}" for a, b in pairwise(words) if a in chosen}
    return pairs | {word for word in words if word.startswith("--without")}


def test_each_kind_of_worker_runs_as_often_as_asked() -> None:
    assert list(by_name(application(workers=2))) == [
        "web",
        "worker-cpu-1",
        "worker-cpu-2",
        "worker-io-1",
        "worker-io-2",
        "reconciler",
    ]


def test_workers_have_distinct_node_names() -> None:
    specs = by_name(application(workers=2))
    names = [
        spec.command[spec.command.index("-n") + 1]
        for spec in specs.values()
        if "-n" in spec.command
    ]
    assert names == ["cpu-1@%h", "cpu-2@%h", "io-1@%h", "io-2@%h"]


def test_a_cpu_worker_has_two_processes_at_least() -> None:
    command = by_name(application())["worker-cpu-1"].command
    assert command[command.index("-c") + 1] == "2"


def test_only_processes_with_many_threads_pool_connections() -> None:
    sizes = {
        name: spec.env.get("CORE_DB_POOL_SIZE")
        for name, spec in by_name(application()).items()
    }
    assert sizes == {
        "web": "8",
        "worker-cpu-1": None,
        "worker-io-1": "10",
        "reconciler": None,
    }


def test_a_pool_size_set_by_hand_holds_everywhere() -> None:
    specs = by_name(application(CORE_DB_POOL_SIZE="3"))
    assert {spec.env["CORE_DB_POOL_SIZE"] for spec in specs.values()} == {"3"}


@pytest.mark.parametrize(
    ("demo", "last"), [(True, "--demo"), (False, "/data/credentials.json")]
)
def test_the_demo_is_seeded_only_when_asked(demo: bool, last: str) -> None:
    assert application().bootstrap(demo=demo).command[-1] == last


@pytest.mark.parametrize(
    ("in_procfile", "in_table"),
    [
        ("web", "web"),
        ("worker-cpu", "worker-cpu-1"),
        ("worker-io", "worker-io-1"),
        ("reconciler", "reconciler"),
    ],
)
def test_the_procfile_runs_the_same_processes(in_procfile: str, in_table: str) -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    procfile = dict(line.split(": ", 1) for line in lines if line)
    assert len(procfile) == 4
    command = " ".join(by_name(application())[in_table].command)
    assert options(procfile[in_procfile]) == options(command)
