"""A record that another process published is read, also if this process commits something in the same moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition


def out(topic: str) -> Out:
    return Out(topic, "k", {}, b"{}", 0)


@pytest.mark.parametrize("how", ["publish", "describe", "ends"])
async def test_a_foreign_record_is_not_overlooked(tmp_path: Path, how: str) -> None:
    """A record that another process published is read, also if this process commits something in the same moment."""
    path = str(tmp_path / "bus.db")
    mine, other = LocalBus(path), LocalBus(path)
    await mine.open()
    await mine.create({"a": 1, "b": 1, "g.control": 1})
    await other.open()
    member = await mine.join("g", ["a"], "g.control")
    waiting = asyncio.create_task(member.fetch({Partition("a", 0): 0}, 10))
    await asyncio.sleep(0.05)
    if waiting.done():  # noticed by its own rebalance
        waiting = asyncio.create_task(member.fetch({Partition("a", 0): 0}, 10))
        await asyncio.sleep(0.05)
    assert not waiting.done()
    await other.publish([out("a")])
    if how == "publish":
        await mine.publish([out("b")])
    elif how == "describe":
        await mine.describe(["b"])
    else:
        await mine.ends(["b"])
    await asyncio.wait([waiting], timeout=2)
    done = waiting.done()
    waiting.cancel()
    await mine.close()
    await other.close()
    assert done, "the record lies there and nobody reads it until something else happens"
