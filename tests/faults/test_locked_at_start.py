"""A file that is locked for a moment while a worker takes its seat does not end the worker."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


@handler()
async def h(a: A) -> None: ...


async def test_start_survives_a_lock(tmp_path: Path) -> None:
    """A file that is locked for a moment while a worker takes its seat does not end the worker."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    other = sqlite3.connect(bus.path, isolation_level=None)
    worker = Worker(App("x", [h]), bus)
    alone, n = bus._alone, 0

    async def then_locked(write):
        nonlocal n
        found = await alone(write)
        n += 1
        if "join" in getattr(write, "__qualname__", ""):  # the seat is registered; now others write
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.3, other.execute, "ROLLBACK")
        return found

    bus._alone = then_locked
    await worker.start()
    await asyncio.sleep(1.0)
    alive = worker.alive
    error = None if alive else worker._loops[0].exception()
    await worker.stop()
    await bus.close()
    other.close()
    assert alive, repr(error)
