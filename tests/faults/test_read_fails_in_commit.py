"""A read that fails inside a commit fails that commit, leaves no transaction open and nobody waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.errors import BusError


async def test_it_is_told_and_others_may_write(tmp_path: Path) -> None:
    """A read that fails inside a commit fails that commit, leaves no transaction open and nobody waiting."""
    path = str(tmp_path / "bus.db")
    mine, other = LocalBus(path), LocalBus(path)
    await mine.open()
    await mine.create({"a": 1})
    await other.open()
    await other.publish([Out("a", "k", {}, b"")])  # from now on `mine` is stale
    topics, mine.store.topics = (
        mine.store.topics,
        lambda: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")),
    )
    publishing = asyncio.create_task(mine.publish([Out("a", "k", {}, b"")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    mine.store.topics = topics  # the disk is well again
    open_transaction = mine.store.db.in_transaction
    await asyncio.wait([publishing], timeout=3)
    answered = publishing.done()
    publishing.cancel()
    try:
        async with asyncio.timeout(8):
            await other.publish([Out("a", "k", {}, b"")])
        others = "write"
    except (BusError, TimeoutError) as error:
        others = f"cannot write: {error}"
    assert answered and others == "write", (
        f"answered={answered}, transaction left open={open_transaction}, others {others}"
    )
