"""A partition that another process added to a topic is read by the worker that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition


async def test_a_new_partition_is_assigned(tmp_path: Path) -> None:
    """A partition that another process added to a topic is read by the worker that runs."""
    path = str(tmp_path / "bus.db")
    mine, other = LocalBus(path), LocalBus(path)
    await mine.open()
    await mine.create({"a": 1, "g.control": 1})
    await other.open()
    member = await mine.join("g", ["a"], "g.control")
    await other.create({"a": 2})
    for _ in range(100):
        await asyncio.sleep(0.01)
    got = Partition("a", 1) in member.assignment.partitions
    await mine.close()
    await other.close()
    assert got
