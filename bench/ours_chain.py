"""Stepwire, durable: the chain of five steps, with the load inside the worker's process or outside of it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.load import KIBIBYTE, WARM_UP, Sample, closed_loop, report
from bench.ours_door import counted, door, expect
from bench.ours_flows import Closed, Opened, chain
from bench.ours_worker import KEEPS, VERSION, inside, outside


async def loaded(options: argparse.Namespace, file: Path) -> tuple[int, Sample]:
    """All runs that were made, and the sample of those after the warm-up."""
    worker = outside("bench.ours_flows:chain", file) if options.outside else inside(chain, file)
    async with worker as bus, door(bus, chain, Closed) as opened:

        async def one() -> None:
            await opened.ask(Opened(seq=0, body=KIBIBYTE))

        warm = await closed_loop(one, at_once=options.at_once, seconds=WARM_UP)
        sample = await closed_loop(one, at_once=options.at_once, seconds=options.seconds)
    return len(warm.latencies) + len(sample.latencies), sample


def main(options: argparse.Namespace) -> None:
    with TemporaryDirectory(dir=options.scratch) as fresh:
        file = options.scratch / options.file if options.file else Path(fresh) / "chain.db"
        before = counted(file, Closed)
        runs, sample = asyncio.run(loaded(options, file))
        expect("closed tickets", counted(file, Closed) - before, runs)
    pattern = f"chain of 5, {options.at_once} at once{', load outside' if options.outside else ''}"
    report("stepwire", VERSION, pattern, KEEPS, sample.figures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--outside", action="store_true", help="the worker runs in a process of its own")
    parser.add_argument("--file", help="a file in the scratch directory that is kept; default: a fresh one")
    parser.add_argument("--scratch", type=Path, required=True)
    main(parser.parse_args())
