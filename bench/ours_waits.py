"""Stepwire: so many deliveries that each wait one second, in one worker; how long until all are committed."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.load import report
from bench.ours_door import counted, door, expect
from bench.ours_flows import Answered, Asked, waits
from bench.ours_worker import KEEPS, VERSION, inside


async def loaded(number: int, file: Path) -> float:
    """Seconds from publishing the events to the last answer; once without the wait before, to warm up."""
    async with inside(waits, file) as bus, door(bus, waits, Answered) as opened:
        await opened.ask(*[Asked(seconds=0.0) for _ in range(number)])
        began = time.perf_counter()
        await opened.ask(*[Asked(seconds=1.0) for _ in range(number)])
        return time.perf_counter() - began


def main(options: argparse.Namespace) -> None:
    with TemporaryDirectory(dir=options.scratch) as fresh:
        file = Path(fresh) / "waits.db"
        seconds = asyncio.run(loaded(options.waits, file))
        expect("answers", counted(file, Answered), 2 * options.waits)
    report("stepwire", VERSION, f"{options.waits} waits of 1 s", KEEPS, {"wall_s": round(seconds, 4)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=1_000)
    parser.add_argument("--scratch", type=Path, required=True)
    main(parser.parse_args())
