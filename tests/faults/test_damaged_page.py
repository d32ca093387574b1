"""A damaged page that a worker meets while it takes its seat ends it with BusCorrupt, not with an SQLite error."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.errors import BusCorrupt
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


@handler()
async def h(a: A) -> None: ...


@pytest.mark.parametrize("table", ["progress", "state_key", "events"])
async def test_it_is_said(tmp_path: Path, table: str) -> None:
    """A damaged page that a worker meets while it takes its seat ends it with BusCorrupt, not with an SQLite error."""
    path = tmp_path / "bus.db"
    app = App("x", [h])
    bus = LocalBus(str(path))
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await asyncio.sleep(0.2)
    await worker.stop()
    await bus.publish([app.record(A(n=n), now=0.0)[0] for n in range(3)])
    await bus.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    with path.open("r+b") as f:
        f.seek((page - 1) * size)
        f.write(b"\xee" * size)
    bus = LocalBus(str(path))
    worker = Worker(app, bus)

    async def work() -> None:
        await bus.open()
        await worker.start()
        await worker.wait()

    with pytest.raises(BusCorrupt):
        await asyncio.wait_for(work(), 20)
