"""The bus contract (DESIGN §7): what the kernel may rely on, whichever bus it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwire.bus.protocol import Change, Out, Partition, Progress, Transaction
from stepwire.errors import Fenced, RecordRefused


def out(topic: str, key: str, value: bytes = b"{}", partition: int | None = None) -> Out:
    return Out(topic, key, {"ce_id": key}, value, partition)


async def seated(bus: Any, topics: list[str]) -> Any:
    """A member of the group that owns its partitions already; on Kafka they come a moment later."""
    member = await bus.join("g", topics, "g.control")
    async with asyncio.timeout(30):
        while not member.assignment.partitions:
            await asyncio.sleep(0.01)
    return member


async def test_what_is_published_is_read_in_order_for_each_partition(bus: Any) -> None:
    """Offsets of a partition grow in the order of publishing; one key lies in one partition."""
    places = await bus.publish([out("three", f"k{i % 4}", b"%d" % i) for i in range(40)])
    assert len({partition for (partition, _), i in zip(places, range(40), strict=True) if i % 4 == 1}) == 1
    values = []
    for number in range(3):
        records = await bus.read(Partition("three", number), 0, 100)
        here = [int(record.value) for record in records]
        assert here == sorted(here)
        assert [record.offset for record in records] == sorted({record.offset for record in records})
        values += here
    assert sorted(values) == list(range(40))


async def test_to_publish_nothing_does_nothing(bus: Any) -> None:
    """As a command does that was to answer whatever matches, where nothing does; what comes after it is written."""
    assert list(await bus.publish([])) == []
    await bus.publish([out("five", "a")])
    assert await written(bus, "five") == 1


async def test_a_transaction_is_all_or_nothing(bus: Any) -> None:
    """Outputs, state and progress are there together, or a refused record leaves none of them."""
    member = await seated(bus, ["three"])
    generation = member.assignment.generation
    place = Partition("three", 0)
    good = Transaction([out("five", "a")], [Change(1, "i/x", b"1{}\n\n")], {place: Progress(4, "1n:1:0::0:")})
    await member.commit(good, generation)
    assert await member.progress([place]) == {place: Progress(4, "1n:1:0::0:")}
    assert [row async for row in member.scan(1)] == [("i/x", b"1{}\n\n")]
    bad = Transaction([out("five", "b"), out("nowhere", "c")], [Change(1, "i/x", None)], {place: Progress(9)})
    with pytest.raises(RecordRefused, match="nowhere"):
        await member.commit(bad, generation)
    assert await written(bus, "five") == 1
    assert await member.progress([place]) == {place: Progress(4, "1n:1:0::0:")}
    assert [key async for key, _ in member.scan(1)] == ["i/x"]


async def written(bus: Any, topic: str) -> int:
    """How many records can be read from a topic."""
    ends = await bus.ends([topic])
    return sum([len(await bus.read(place, 0, 100)) for place in ends])


async def test_a_refused_record_harms_no_neighbour(bus: Any) -> None:
    """Of writes that go into one transaction of the bus, only the culprit is refused."""
    results = await asyncio.gather(
        bus.publish([out("three", "a")]), bus.publish([out("nowhere", "b")]), bus.publish([out("three", "c")]),
        return_exceptions=True,
    )  # fmt: skip
    assert [isinstance(result, RecordRefused) for result in results] == [False, True, False]


async def test_an_old_generation_is_fenced(bus: Any) -> None:
    """After a rebalance a commit under the old assignment writes nothing."""
    member = await seated(bus, ["three"])
    old = member.assignment.generation
    other = await bus.join("g", ["three"], "g.control")
    async with asyncio.timeout(30):
        while member.assignment.generation == old:
            await asyncio.sleep(0.01)
    with pytest.raises(Fenced):
        await member.commit(Transaction([out("five", "a")], progress={Partition("three", 0): Progress(1)}), old)
    assert await written(bus, "five") == 0
    await other.leave()


async def test_fetch_waits_for_records_and_shares_its_limit(bus: Any) -> None:
    """A fetch without anything to read waits; it hands out no more than its limit, and in the end everything."""
    member = await seated(bus, ["seven"])
    positions = {Partition("seven", number): 0 for number in range(7)}
    waiting = asyncio.create_task(_records(member, positions, 50))
    await asyncio.sleep(0)
    assert not waiting.done()
    await bus.publish([out("seven", f"k{i}", partition=i % 7) for i in range(700)])
    records = list(await waiting)
    assert len(records) <= 50
    async with asyncio.timeout(30):
        while len(records) < 700:
            positions |= {Partition("seven", one.partition): one.offset + 1 for one in records}
            records += (more := await _records(member, positions, 50))
            assert len(more) <= 50
    assert sorted(one.key for one in records) == sorted(f"k{i}" for i in range(700))


async def _records(member, positions, limit):  # type: ignore[no-untyped-def]
    while True:
        if found := await member.fetch(positions, limit):
            return found


async def test_a_new_group_starts_at_the_present_end(bus: Any) -> None:
    """R15: never a silent reset; what was there before the group was founded is not its business, what follows is."""
    await bus.publish([out("three", "old", partition=0)])
    await bus.found({"g": ["three", "g.control"]})
    await bus.publish([out("three", "new", partition=0)])
    await bus.found({"g": ["three", "g.control"]})
    member = await seated(bus, ["three"])
    place = Partition("three", 0)
    progress = await member.progress([place])
    (record,) = await _records(member, {place: progress[place].watermark}, 10)
    assert record.key == "new"


async def test_members_share_partitions_and_get_them_back(shared: Any) -> None:
    """Two members own disjoint partitions; when one leaves the other owns all."""
    one = await shared.join("g", ["three"], "g.control")
    other = await shared.join("g", ["three"], "g.control")
    async with asyncio.timeout(30):
        while not other.assignment.partitions or one.assignment.partitions & other.assignment.partitions:
            await asyncio.sleep(0.01)
    assert len(one.assignment.partitions | other.assignment.partitions) == 6
    await other.leave()
    async with asyncio.timeout(30):
        while len(one.assignment.partitions) != 6:
            await asyncio.sleep(0.01)


async def test_an_event_in_an_open_transaction_is_not_seen(bus: Any) -> None:
    """What a member reads is committed: records come only once their transaction is over."""
    member = await seated(bus, ["three"])
    await bus.publish([out("three", f"k{i}", partition=0) for i in range(5)])
    async with asyncio.timeout(30):
        records = await _records(member, {Partition("three", 0): 0}, 10)
        while len(records) < 5:
            records += await _records(member, {Partition("three", 0): records[-1].offset + 1}, 10)
    assert [record.key for record in records] == [f"k{i}" for i in range(5)]
