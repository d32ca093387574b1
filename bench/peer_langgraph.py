"""LangGraph: a chain of five steps on its SQLite saver, and an in-memory map over 1,000 items.

Its fast paths: the graph is compiled once, the state is a TypedDict (nothing is validated), a step returns
only what it changes, tracing is off. The chain keeps its state before every next step (`durability="sync"`),
as ours does; its file gets `synchronous=NORMAL`, as ours has: both survive a kill, and neither pays for an
fsync in every step. It has two savers, `async` (its documentation's choice for runs at once) and `blocking`;
both are measured. The map (`Send`) runs without any saver.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import operator
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypedDict

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from bench.load import ITEM, KIBIBYTE, WARM_UP, Sample, closed_loop, closed_loop_in_threads, report

STEPS = 5
NORMAL = "pragma synchronous=normal"
KEEPS = "state before every next step, SQLite WAL, synchronous=NORMAL"


class Ticket(TypedDict):
    seq: int
    body: str


class Batch(TypedDict):
    items: int
    sizes: Annotated[list[int], operator.add]
    total: int


class Item(TypedDict):
    body: str


def advance(state: Ticket) -> dict[str, int]:
    return {"seq": state["seq"] + 1}


async def advance_async(state: Ticket) -> dict[str, int]:
    return {"seq": state["seq"] + 1}


def chain(saver: BaseCheckpointSaver[Any], step: Any) -> Any:
    """Five steps, one after another, on `saver`."""
    graph = StateGraph(Ticket)
    names = [f"step{n}" for n in range(STEPS)]
    for name in names:
        graph.add_node(name, step)
    for before, after in itertools.pairwise([START, *names, END]):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=saver)


def thread(run: int) -> RunnableConfig:
    """A run of its own: what LangGraph calls a thread."""
    return {"configurable": {"thread_id": f"run-{run}"}}


async def chain_async(path: Path, at_once: int, seconds: float) -> Sample:
    """The chain on the saver for asyncio."""
    runs = itertools.count()
    async with aiosqlite.connect(path) as file:
        await file.execute(NORMAL)
        graph = chain(AsyncSqliteSaver(file), advance_async)

        async def one() -> None:
            result = await graph.ainvoke({"seq": 0, "body": KIBIBYTE}, thread(next(runs)), durability="sync")
            assert result["seq"] == STEPS

        await closed_loop(one, at_once=at_once, seconds=WARM_UP)
        return await closed_loop(one, at_once=at_once, seconds=seconds)


def chain_blocking(path: Path, at_once: int, seconds: float) -> Sample:
    """The chain on the blocking saver, a thread for each run at once."""
    runs = itertools.count()
    file = sqlite3.connect(path, check_same_thread=False)  # the saver holds a lock of its own
    file.execute(NORMAL)
    graph = chain(SqliteSaver(file), advance)

    def one() -> None:
        result = graph.invoke({"seq": 0, "body": KIBIBYTE}, thread(next(runs)), durability="sync")
        assert result["seq"] == STEPS

    closed_loop_in_threads(one, at_once=at_once, seconds=WARM_UP)
    sample = closed_loop_in_threads(one, at_once=at_once, seconds=seconds)
    file.close()
    return sample


async def start(state: Batch) -> dict[str, int]:  # noqa: ARG001 - LangGraph names the parameter
    return {}


def scatter(state: Batch) -> list[Send]:
    return [Send("measure", Item(body=ITEM)) for _ in range(state["items"])]


async def measure(state: Item) -> dict[str, list[int]]:
    return {"sizes": [len(state["body"])]}


async def gather(state: Batch) -> dict[str, int]:
    return {"total": sum(state["sizes"])}


async def map_in_memory(items: int, seconds: float) -> Sample:
    """One map after another over so many items."""
    builder = StateGraph(Batch)
    builder.add_node("start", start)
    builder.add_node("measure", measure)
    builder.add_node("gather", gather)
    builder.add_edge(START, "start")
    builder.add_conditional_edges("start", scatter, ["measure"])
    builder.add_edge("measure", "gather")
    builder.add_edge("gather", END)
    graph = builder.compile()

    async def one() -> None:
        result = await graph.ainvoke({"items": items, "sizes": [], "total": 0})
        assert result["total"] == items * len(ITEM)

    await closed_loop(one, at_once=1, seconds=WARM_UP)
    return await closed_loop(one, at_once=1, seconds=seconds)


def main(options: argparse.Namespace) -> None:
    path = Path(options.scratch) / f"langgraph-{options.saver}-{options.at_once}.db"
    released = version("langgraph")
    if options.pattern == "map":
        sample = asyncio.run(map_in_memory(options.items, options.seconds))
        report("langgraph", released, f"map over {options.items}", "nothing", sample.figures())
        return
    if options.saver == "async":
        sample = asyncio.run(chain_async(path, options.at_once, options.seconds))
    else:
        sample = chain_blocking(path, options.at_once, options.seconds)
    pattern = f"chain of 5, {options.at_once} at once, {options.saver} saver"
    report("langgraph", released, pattern, KEEPS, sample.figures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", choices=("chain", "map"))
    parser.add_argument("--saver", choices=("async", "blocking"), default="async")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--scratch", required=True, help="an empty directory for the checkpoint file")
    main(parser.parse_args())
