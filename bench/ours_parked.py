"""Stepwire: a restart with many parked timers and open joins; how much memory, how long until it works again.

`fill` makes the file. `restart` is the process that is measured: it counts as ready once a join that was
opened before the restart has fired, and a new event has passed the handler whose deliveries are parked: both
handlers have then read back what they wait for.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench.load import ITEM, report
from bench.machine import memory_mb, seconds_since_start
from bench.ours_door import Door, counted, door, expect, stored
from bench.ours_flows import Due, Left, Met, Right, parked
from bench.ours_worker import KEEPS, VERSION, inside
from stepwire.event import Event

FILE = "parked.db"
BATCH = 1_000  #: events published in one transaction
LOOK = 0.5  #: seconds between two looks at the file, whether all is parked
SETTLE = 2.0  #: seconds after it is ready; what is loaded lazily counts as memory too


async def fill(file: Path, timers: int, joins: int) -> None:
    """Park the timers, open the joins, and stop the worker once all of it is in the file."""
    async with inside(parked, file) as bus, door(bus, parked, Met) as opened:
        await _publish(opened, [Due(parked=True, body=ITEM) for _ in range(timers)])
        await _publish(opened, [Left(number=str(number), body=ITEM) for number in range(joins)])
        while stored(file) < timers + joins:
            await asyncio.sleep(LOOK)


async def _publish(opened: Door, events: Sequence[Event]) -> None:
    for start in range(0, len(events), BATCH):
        await opened.publish(*events[start : start + BATCH])


async def restart(file: Path, timers: int, joins: int) -> dict[str, float]:
    """Time from the start of this process until it is ready, and the most memory it took."""
    rounds_before = counted(file, Met) // 2  # each left two answers, and took one of the joins
    if (entries := stored(file)) < timers + joins - rounds_before:
        raise SystemExit(f"only {entries} of {timers + joins} timers and joins are in the file; fill it first")
    async with inside(parked, file) as bus, door(bus, parked, Met) as opened:
        await opened.ask(Right(number=str(rounds_before)), Due(parked=False, body=ITEM))
        ready = seconds_since_start()
        await asyncio.sleep(SETTLE)
        peak = memory_mb("VmHWM")
    expect("answers", counted(file, Met), 2 * (rounds_before + 1))
    return {"ready_s": round(ready, 3), "peak_mb": peak, "entries": entries}


def main(options: argparse.Namespace) -> None:
    file = options.scratch / FILE
    if options.act == "fill":
        asyncio.run(fill(file, options.timers, options.joins))
        figures: dict[str, float] = {"entries": stored(file)}
    else:
        figures = asyncio.run(restart(file, options.timers, options.joins))
    report("stepwire", VERSION, f"parked: {options.act}", KEEPS, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("act", choices=("fill", "restart"))
    parser.add_argument("--timers", type=int, default=100_000)
    parser.add_argument("--joins", type=int, default=10_000)
    parser.add_argument("--scratch", type=Path, required=True)
    main(parser.parse_args())
