"""What the works with agents and with maps make of their measurements."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from benchmarks import provider, scaling
from benchmarks.protocol.serving import peaks_mb
from benchmarks.report.document import _place
from benchmarks.scale import agents, maps
from benchmarks.scale.agents import Run


def run(seconds: float, *, peak_mb: float = 200.0) -> Run:
    names = ("cpu_ms:workers", "cpu_ms:PostgreSQL", "foreign_cores")
    costs = dict.fromkeys(names, 0.5)
    return Run(seconds=seconds, recorded_seconds=2.5, peak_mb=peak_mb, costs=costs)


def test_each_shape_is_held_against_the_bar_by_its_median():
    runs = {"group": [run(3.0), run(4.1), run(9.0)], "executions": [run(3.9)]}
    found = agents.finding(runs, 300)
    assert [bar.met for bar in found.bars] == [False, True, True]
    assert found.bars[0].value == 4.1


def test_memory_is_held_against_the_bar_by_the_greatest_peak_of_all():
    runs = {"group": [run(3.0)], "executions": [run(3.0), run(3.0, peak_mb=301.0)]}
    memory = agents.finding(runs, 300).bars[-1]
    assert (memory.value, memory.met) == (301.0, False)


def test_a_maps_figures_are_its_pace_and_the_greatest_peak_of_each_worker():
    answers = [
        {"seconds": 10.0, "peak_mb": {"cpu": 90.0, "io": 120.0}},
        {"seconds": 5.0, "peak_mb": {"cpu": 95.0, "io": 110.0}},
    ]
    found = maps.finding(answers, 1_000)
    assert found.figures["items_s"] == [100.0, 200.0]
    assert found.figures["peak_mb"] == {"cpu": 95.0, "io": 120.0}
    assert found.bars == ()


def test_a_peak_is_told_of_each_process_and_none_of_one_that_is_gone():
    assert peaks_mb([os.getpid()])[0] > 1
    assert peaks_mb([2**22 + 1]) == [0.0]


@pytest.mark.parametrize(
    ("works", "meant"),
    [
        ((), scaling.NAMES),
        (("W1", "SCALE"), scaling.NAMES),
        (("W10", "W1"), ("W10",)),
        (("W1",), ()),
    ],
)
def test_works_of_this_system_alone_are_done_if_they_are_meant(works, meant):
    assert tuple(scaling.of(works)) == meant


def test_the_tenth_work_is_reported_after_the_ninth_and_before_those_without_a_number():
    given = ["Workers", "W10", "W7 to W9", "W2", "W9"]
    assert sorted(given, key=_place) == ["W2", "W7 to W9", "W9", "W10", "Workers"]


@pytest.mark.parametrize("head", [b"POST / HTTP/1.1\r\n\r\n", b"Content-Type: x"])
def test_a_request_that_tells_no_length_has_no_body(head):
    assert provider.length_of(head) == 0


def test_the_provider_answers_request_after_request_on_one_connection():
    answers = asyncio.run(asked_twice("one", "two"))
    assert [answer["model"] for answer in answers] == ["one", "two"]
    assert answers[0]["choices"][0]["finish_reason"] == "stop"


async def asked_twice(*models: str) -> list[dict[str, Any]]:
    async def answer(reader, writer):
        await provider.converse(reader, writer, 0)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for model in models:
        body = json.dumps({"model": model}).encode()
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        head = await reader.readuntil(b"\r\n\r\n")
        found.append(json.loads(await reader.readexactly(provider.length_of(head))))
    writer.close()
    server.close()
    return found
