"""
LangGraph with its PostgreSQL checkpointer, on threads of this process.

It is a library without queue, worker or scheduler, so nothing else is measured.
Every step is committed before the next one begins (`durability="sync"`).
"""

from __future__ import annotations

import operator
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from threading import Timer
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from serving import Stopwatch, latencies_ms, pss_mb, serve

THREADS = 8
LATE = 0.75  # of a wait: all have been submitted, none has ended
CONNECTION = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
PACKAGES = ("langgraph", "langgraph-checkpoint-postgres")


class State(TypedDict):
    done: Annotated[list[int], operator.add]


Node = Callable[[State], State]
NOTHING: State = {"done": []}


def noop(state: State) -> State:
    return {"done": [1]}


def pause(seconds: float, state: State) -> State:
    time.sleep(seconds)
    return {"done": [1]}


def chain_of(length: int, node: Node, saver: PostgresSaver) -> Any:
    graph = StateGraph(State)
    before = START
    for number in range(length):
        name = f"step-{number}"
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(checkpointer=saver)


def fan_of(width: int, saver: PostgresSaver) -> Any:
    graph = StateGraph(State)
    graph.add_node("step", noop)
    graph.add_node("join", noop)
    graph.add_conditional_edges(
        START, lambda state: [Send("step", NOTHING) for _ in range(width)], ["step"]
    )
    graph.add_edge("step", "join")
    graph.add_edge("join", END)
    return graph.compile(checkpointer=saver)


def run(graph: Any, steps: int) -> None:
    """Run one execution, and see that each of its steps left its trace."""
    thread = {"configurable": {"thread_id": uuid.uuid4().hex}}
    config = {**thread, "recursion_limit": steps + 5}
    state = graph.invoke(NOTHING, config=config, durability="sync")
    if len(state["done"]) != steps:
        raise RuntimeError(f"{len(state['done'])} of {steps} steps ran")


def run_many(graph: Any, executions: int, steps: int, threads: int) -> float:
    """Return the seconds that so many executions take, all submitted at once."""
    watch = Stopwatch()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: run(graph, steps), range(executions)))
    return watch.seconds


def chain(saver: PostgresSaver, executions: int, length: int) -> dict[str, Any]:
    graph = chain_of(length, noop, saver)
    return {"seconds": run_many(graph, executions, length, THREADS)}


def fan(saver: PostgresSaver, width: int, shape: str = "in_handler") -> dict[str, Any]:
    if shape != "in_handler":
        return {"unsupported": "LangGraph fans out inside one execution, by Send"}
    graph = fan_of(width, saver)
    watch = Stopwatch()
    run(graph, width + 1)
    return {"seconds": watch.seconds}


def wait(saver: PostgresSaver, executions: int, seconds: float) -> dict[str, Any]:
    """Give each execution a thread: with fewer the threads' number is measured."""
    graph = chain_of(1, partial(pause, seconds), saver)
    memory: dict[str, float] = {}
    look = Timer(seconds * LATE, lambda: memory.update(workers=pss_mb([os.getpid()])))
    look.start()
    took = run_many(graph, executions, 1, executions)
    look.join()
    return {"seconds": took, "memory_mb": memory}


def latency(
    saver: PostgresSaver, count: int, through: str = "launch"
) -> dict[str, Any]:
    if through != "launch":
        return {"unsupported": "LangGraph the library is called, not reached by HTTP"}
    graph = chain_of(1, noop, saver)
    watch = Stopwatch()
    timed = latencies_ms(lambda: run(graph, 1), count)
    return {"seconds": watch.seconds, "latencies_ms": timed}


def main() -> None:
    os.environ["LANGSMITH_TRACING"] = "false"  # nothing leaves this machine
    with ConnectionPool(
        os.environ["BENCH_DATABASE_URL"],
        min_size=THREADS,
        max_size=THREADS,
        kwargs=CONNECTION,
    ) as connections:
        saver = PostgresSaver(connections)
        saver.setup()
        run_many(chain_of(10, noop, saver), 20, 10, THREADS)
        works = {work.__name__: partial(work, saver) for work in WORKS}
        versions = {name: version(name) for name in PACKAGES}
        serve(works, {"workers": [os.getpid()]}, versions)


WORKS = (chain, fan, wait, latency)

if __name__ == "__main__":
    main()
