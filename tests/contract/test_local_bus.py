"""What only the local bus promises: about its file, its processes, its retention."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Progress, Transaction
from stepwire.errors import BusCorrupt, BusUnavailable, SettingsError
from stepwire_handlers.services.retention import expire


def out(topic: str, key: str, value: bytes = b"{}", partition: int | None = None) -> Out:
    return Out(topic, key, {"ce_id": key}, value, partition)


async def _records(member, positions, limit):  # type: ignore[no-untyped-def]
    while True:
        if found := await member.fetch(positions, limit):
            return found


@pytest.fixture
async def bus():  # type: ignore[no-untyped-def]
    """An open bus in memory."""
    opened = LocalBus()
    await opened.open()
    await opened.create({"three": 3, "g.control": 3})
    yield opened
    await opened.close()


async def test_a_topic_may_grow(bus: LocalBus) -> None:
    """More partitions for a topic: its group gets them at once."""
    member = await bus.join("g", ["three"], "g.control")
    await bus.create({"three": 4})
    assert Partition("three", 3) in member.assignment.partitions


async def test_two_processes_see_each_other(tmp_path: Path) -> None:
    """What one opens, another publishes to and reads from; a second worker of a group stands by."""
    path = str(tmp_path / "bus.db")
    one, other = LocalBus(path), LocalBus(path)
    await one.open()
    await one.create({"three": 3, "g.control": 1})
    await other.open()
    mine = await one.join("g", ["three"], "g.control")
    standby = await other.join("g", ["three"], "g.control")
    assert mine.assignment.partitions
    assert not standby.assignment.partitions
    await other.publish([out("three", "a", partition=0)])
    async with asyncio.timeout(20):
        assert await _records(mine, {Partition("three", 0): 0}, 5)
    await one.close()
    async with asyncio.timeout(20):
        while not standby.assignment.partitions:
            await asyncio.sleep(0.01)
    await other.close()


async def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    """A damaged file stops everything, with the way out."""
    path = tmp_path / "bus.db"
    path.write_bytes(b"this is not a database, it is a letter " * 200)
    with pytest.raises(BusCorrupt, match="recover"):
        await LocalBus(str(path)).open()


async def test_a_folder_that_cannot_be_written_is_said_so() -> None:
    """The message names the path and what to do."""
    with pytest.raises(BusUnavailable, match=r"another path|writable"):
        await LocalBus("/proc/nowhere/bus.db").open()


async def test_settings_are_checked_at_construction() -> None:
    """A wrong durability is refused before anything is opened."""
    with pytest.raises(SettingsError, match="power"):
        LocalBus(durability="maybe")


async def test_expired_records_are_deleted_only_where_everybody_is_done(bus: LocalBus) -> None:
    """Retention never passes an unfinished offset."""
    await bus.found({"g": ["three", "g.control"]})
    await bus.publish([out("three", f"k{i}", partition=0) for i in range(10)])
    member = await bus.join("g", ["three"], "g.control")
    place = Partition("three", 0)
    await member.commit(Transaction(progress={place: Progress(4)}), member.assignment.generation)
    await expire(App("other", []), bus, older_than=-1.0)
    assert [record.offset for record in bus.store.read("three", 1, 0, 0, 100)] == [4, 5, 6, 7, 8, 9]
