from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.measuring.processes import Processes, foreign_cores
from benchmarks.systems import PROTOCOL
from benchmarks.works import CASES, steps

FAMILY = Processes(
    parents={1: 0, 2: 1, 3: 2, 4: 1, 5: 0},
    seconds={1: 1.0, 2: 2.0, 3: 4.0, 4: 8.0, 5: 16.0},
)
DRIVER = """
from serving import serve
def double(value):
    print("a library prints this")
    return {"seconds": value * 2}
def fail():
    raise ValueError("no")
serve({"double": double, "fail": fail}, {"workers": [1]}, {"it": "1"})
"""


def test_a_tree_is_all_that_descends() -> None:
    assert FAMILY.cpu_seconds([1]) == 15
    assert FAMILY.cpu_seconds([2, 3]) == 6


def test_what_a_driver_names_is_not_its_client() -> None:
    assert FAMILY.cpu_seconds([1], without={2}) == 9
    assert FAMILY.cpu_seconds([1], without={1}) == 0


def test_processes_that_have_ended_cost_nothing() -> None:
    assert FAMILY.cpu_seconds([99]) == 0


def test_this_process_is_found_with_its_time() -> None:
    now = Processes.now()
    assert now.parents[os.getpid()] == os.getppid()
    assert now.seconds[os.getpid()] > 0


def test_foreign_work_is_what_nobody_here_has_done() -> None:
    assert foreign_cores(10.0, [2.0, 3.0], 5.0) == 1.0
    assert foreign_cores(4.9, [2.0, 3.0], 5.0) == 0.0


def test_steps_are_counted_with_the_join() -> None:
    counted = {case.key: steps(case.asked(quick=False)) for case in CASES}
    assert (counted["W1"], counted["W2/100"], counted["W5/50"]) == (2000, 101, 50)


def test_a_driver_answers_line_by_line_whatever_is_printed_or_raised() -> None:
    asked = [{"work": "double", "value": 3}, {"work": "fail"}, {"work": "else"}]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", DRIVER],
        input="\n".join(map(json.dumps, asked)) + "\n",
        env={"PYTHONPATH": str(PROTOCOL)},
        capture_output=True,
        text=True,
        check=True,
    )
    ready, *answers = map(json.loads, done.stdout.splitlines())
    assert ready == {
        "ready": True,
        "processes": {"workers": [1]},
        "versions": {"it": "1"},
    }
    assert answers == [
        {"seconds": 6},
        {"error": "ValueError: no"},
        {"unsupported": "no else in this driver"},
    ]
