"""Old records of a local bus are deleted while a worker runs: those that every group has finished.

In: an open bus and an age in seconds. Out: a shorter file. A record that a group has not finished is never deleted,
however old it is. A file that is locked or full is tried again at the next look; of a damaged one the worker speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus
from stepwire.bus.sqlite import position
from stepwire.errors import BusError

LOOK = 60.0  #: seconds between two deletions
EXPIRED = "SELECT max(pos) FROM events WHERE pos >= ? AND pos < ? AND time < ?"


@asynccontextmanager
async def retaining(bus: Bus, seconds: float | None) -> AsyncIterator[None]:
    """Delete what is older while the context is open; None: keep everything. Kafka does it by itself."""
    if seconds is None or not isinstance(bus, LocalBus):
        yield
        return
    task = asyncio.create_task(_again(bus, seconds))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _again(bus: LocalBus, seconds: float) -> None:
    while True:
        await asyncio.sleep(LOOK)
        with contextlib.suppress(BusError, sqlite3.Error):
            await expire(bus, seconds)


async def expire(bus: LocalBus, older_than: float) -> int:
    """Delete records older than so many seconds that every group has finished; how many partitions shrank."""
    before, shrunk = bus.clock.now() - older_than, 0
    watermarks: dict[tuple[int, int], int] = {}
    for number, _ in bus.store.groups().values():
        for place, progress in bus.store.progress(number).items():
            watermarks[place] = min(progress.watermark, watermarks.get(place, progress.watermark))
    for (topic, part), watermark in watermarks.items():
        first = position(topic, part, 0)
        (last,) = bus.store.db.execute(EXPIRED, (first, first + watermark, before)).fetchone()
        if last is not None:
            await bus.delete_before(topic, part, last - first + 1)
            shrunk += 1
    return shrunk
