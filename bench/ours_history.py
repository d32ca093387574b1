"""Stepwire: a file with so many past events of the chain, published in bulk before any worker has seen it.

A group that never read a topic starts at its present end, so for the worker that comes later they are past.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from bench.load import KIBIBYTE, report
from bench.ours_door import counted
from bench.ours_flows import STEPS, Closed
from bench.ours_worker import KEEPS, VERSION
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.codec import encode
from stepwire.envelope import Envelope
from stepwire.event import digest

BATCH = 900  #: whole runs written in one transaction


def past(run: int) -> list[Out]:
    """The records that one run of the chain left behind."""
    name, now, outputs = digest("past", str(run)), time.time(), []
    for seq, event in enumerate(STEPS):
        envelope = Envelope(f"{run}-{seq}", "bench:past", event.spec.type, now, run=name)
        headers, value = encode(event(seq=seq, body=KIBIBYTE), envelope)
        outputs.append(Out(event.spec.topic, name, headers, value))
    return outputs


async def fill(file: Path, events: int) -> None:
    """Write at least so many events, whole runs only."""
    bus = LocalBus(str(file))
    await bus.open()
    await bus.create({event.spec.topic: 1 for event in STEPS})
    runs = -(-events // len(STEPS))
    for start in range(0, runs, BATCH):
        await bus.publish([output for run in range(start, min(start + BATCH, runs)) for output in past(run)])
    await bus.close()


def main(options: argparse.Namespace) -> None:
    file = options.scratch / options.file
    asyncio.run(fill(file, options.events))
    written = len(STEPS) * counted(file, Closed)
    report("stepwire", VERSION, "past events", KEEPS, {"events": written})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--file", default="history.db")
    parser.add_argument("--scratch", type=Path, required=True)
    main(parser.parse_args())
