"""The bus contract (DESIGN §7): what the kernel may rely on, whichever bus it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Change, Out, Partition, Progress, Transaction
from stepwire.errors import BusCorrupt, BusUnavailable, Fenced, RecordRefused, SettingsError


def out(topic: str, key: str, value: bytes = b"{}", partition: int | None = None) -> Out:
    return Out(topic, key, {"ce_id": key}, value, partition)


async def test_what_is_published_is_read_in_order_for_each_partition(bus: LocalBus) -> None:
    """Offsets of a partition are consecutive and keep the order of publishing; one key lies in one partition."""
    places = await bus.publish([out("three", f"k{i % 4}", b"%d" % i) for i in range(40)])
    assert len({partition for (partition, _), i in zip(places, range(40), strict=True) if i % 4 == 1}) == 1
    values = []
    for number in range(3):
        records = await bus.read(Partition("three", number), 0, 100)
        assert [record.offset for record in records] == list(range(len(records)))
        values += [int(record.value) for record in records]
    assert sorted(values) == list(range(40))


async def test_a_transaction_is_all_or_nothing(bus: LocalBus) -> None:
    """Outputs, state and progress are there together, or a refused record leaves none of them."""
    member = await bus.join("g", ["three"], "g.control")
    generation = member.assignment.generation
    place = Partition("three", 0)
    good = Transaction([out("five", "a")], [Change(1, "i/x", b"1{}\n\n")], {place: Progress(4, "1n:1:0::0:")})
    await member.commit(good, generation)
    assert await member.progress([place]) == {place: Progress(4, "1n:1:0::0:")}
    assert [row async for row in member.scan(1)] == [("i/x", b"1{}\n\n")]
    bad = Transaction([out("five", "b"), out("nowhere", "c")], [Change(1, "i/x", None)], {place: Progress(9)})
    with pytest.raises(RecordRefused, match="nowhere"):
        await member.commit(bad, generation)
    assert sum((await bus.ends(["five"])).values()) == 1
    assert await member.progress([place]) == {place: Progress(4, "1n:1:0::0:")}
    assert [key async for key, _ in member.scan(1)] == ["i/x"]


async def test_a_refused_record_harms_no_neighbour(bus: LocalBus) -> None:
    """Of writes that go into one transaction of the bus, only the culprit is refused."""
    results = await asyncio.gather(
        bus.publish([out("three", "a")]), bus.publish([out("nowhere", "b")]), bus.publish([out("three", "c")]),
        return_exceptions=True,
    )  # fmt: skip
    assert [isinstance(result, RecordRefused) for result in results] == [False, True, False]


async def test_an_old_generation_is_fenced(bus: LocalBus) -> None:
    """After a rebalance a commit under the old assignment writes nothing."""
    member = await bus.join("g", ["three"], "g.control")
    old = member.assignment.generation
    bus.rebalance("g")
    with pytest.raises(Fenced):
        await member.commit(Transaction([out("five", "a")]), old)
    assert sum((await bus.ends(["five"])).values()) == 0


async def test_fetch_waits_for_records_and_shares_its_limit(bus: LocalBus) -> None:
    """A fetch without anything to read waits; with a limit every partition gets its share."""
    member = await bus.join("g", ["seven"], "g.control")
    positions = {Partition("seven", number): 0 for number in range(7)}
    waiting = asyncio.create_task(_records(member, positions, 50))
    await asyncio.sleep(0)
    assert not waiting.done()
    await bus.publish([out("seven", f"k{i}", partition=i % 7) for i in range(700)])
    records = await waiting
    assert len({record.partition for record in records}) == 7
    assert len(records) <= 50


async def _records(member, positions, limit):  # type: ignore[no-untyped-def]
    while True:
        if found := await member.fetch(positions, limit):
            return found


async def test_a_new_group_starts_at_the_present_end(bus: LocalBus) -> None:
    """R15: never a silent reset; what was there before the group was founded is not its business, what follows is."""
    await bus.publish([out("three", "old", partition=0)])
    await bus.found({"g": ["three", "g.control"]})
    await bus.publish([out("three", "new", partition=0)])
    await bus.found({"g": ["three", "g.control"]})
    member = await bus.join("g", ["three"], "g.control")
    place = Partition("three", 0)
    progress = await member.progress([place])
    (record,) = await member.fetch({place: progress[place].watermark}, 10)
    assert record.key == "new"


async def test_members_share_partitions_and_get_them_back() -> None:
    """With a split, two members own disjoint partitions; when one leaves the other owns all."""

    def split(partitions, members):  # type: ignore[no-untyped-def]
        return [frozenset(partitions[i::members]) for i in range(members)]

    bus = LocalBus(split=split)
    await bus.open()
    await bus.create({"three": 3, "g.control": 3})
    one = await bus.join("g", ["three"], "g.control")
    other = await bus.join("g", ["three"], "g.control")
    assert not one.assignment.partitions & other.assignment.partitions
    assert len(one.assignment.partitions | other.assignment.partitions) == 6
    await other.leave()
    assert len(one.assignment.partitions) == 6
    await bus.close()


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
    async with asyncio.timeout(5):
        assert await _records(mine, {Partition("three", 0): 0}, 5)
    await one.close()
    async with asyncio.timeout(5):
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
    await bus.expire(older_than=-1.0)
    assert [record.offset for record in bus.store.read("three", 1, 0, 0, 100)] == [4, 5, 6, 7, 8, 9]
