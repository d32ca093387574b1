"""pydantic-graph, in memory: a chain of five steps; the fastest peer, and it keeps nothing.

Its fast path: the graph is built once, spans are off (`auto_instrument=False`), the graph's name is given.
Every step makes a new validated payload, as a step of ours does; nothing is turned into bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic_graph import GraphBuilder

from bench.load import KIBIBYTE, WARM_UP, closed_loop, report

STEPS = 5


class Ticket(BaseModel):
    seq: int
    body: str


async def advance(ctx: Any) -> Ticket:  # a StepContext; mypy cannot read its variance-inferring parameters
    return Ticket(seq=ctx.inputs.seq + 1, body=ctx.inputs.body)


def chain() -> Any:
    """Five steps, one after another."""
    builder = GraphBuilder(name="chain", input_type=Ticket, output_type=Ticket, auto_instrument=False)
    steps = [builder.step(advance, node_id=f"step{n}") for n in range(STEPS)]
    builder.add(builder.edge_from(builder.start_node).to(steps[0]))
    for before, after in itertools.pairwise(steps):
        builder.add(builder.edge_from(before).to(after))
    builder.add(builder.edge_from(steps[-1]).to(builder.end_node))
    return builder.build()


async def main(at_once: int, seconds: float) -> None:
    graph = chain()

    async def one() -> None:
        result = await graph.run(inputs=Ticket(seq=0, body=KIBIBYTE))
        assert result.seq == STEPS

    await closed_loop(one, at_once=at_once, seconds=WARM_UP)
    sample = await closed_loop(one, at_once=at_once, seconds=seconds)
    pattern = f"chain of 5, {at_once} at once"
    report("pydantic-graph", version("pydantic-graph"), pattern, "nothing", sample.figures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--scratch", help="directory for files; this peer writes none")
    options = parser.parse_args()
    asyncio.run(main(options.at_once, options.seconds))
