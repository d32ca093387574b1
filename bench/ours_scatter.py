"""Stepwire, durable: one event scattered into so many items of 256 B, each handled, all gathered."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.load import WARM_UP, Sample, closed_loop, report
from bench.ours_door import counted, door, expect
from bench.ours_flows import Batch, Size, Total, scatter
from bench.ours_worker import KEEPS, VERSION, inside


async def loaded(options: argparse.Namespace, file: Path) -> tuple[int, Sample]:
    """All runs that were made, and the sample of those after the warm-up."""
    async with inside(scatter, file) as bus, door(bus, scatter, Total) as opened:

        async def one() -> None:
            await opened.ask(Batch(items=options.items))

        warm = await closed_loop(one, at_once=1, seconds=WARM_UP)
        sample = await closed_loop(one, at_once=1, seconds=options.seconds)
    return len(warm.latencies) + len(sample.latencies), sample


def main(options: argparse.Namespace) -> None:
    with TemporaryDirectory(dir=options.scratch) as fresh:
        file = Path(fresh) / "scatter.db"
        runs, sample = asyncio.run(loaded(options, file))
        expect("sizes", counted(file, Size), runs * options.items)
        expect("totals", counted(file, Total), runs)
    report("stepwire", VERSION, f"scatter over {options.items}", KEEPS, sample.figures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="long enough for a few runs over 10,000 items")
    parser.add_argument("--scratch", type=Path, required=True)
    main(parser.parse_args())
