"""A commit carries the seat that its results were computed under, whatever happens while it is being prepared."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from stepwire.bus.kafka import wire
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.membership import KafkaMembership
from stepwire.bus.protocol import Out, Partition, Progress, Transaction


def consumer(generation: int, member: str) -> Any:
    """One of aiokafka's that has a seat, as far as a commit looks at it."""
    running = SimpleNamespace(done=lambda: False)
    return SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace()), _fetcher=SimpleNamespace(_fetch_task=running),
        _coordinator=SimpleNamespace(
            generation=generation, member_id=member, _coordination_task=running, _heartbeat_task=running,
            _commit_refresh_task=None, _pending_exception=None, request_rejoin=lambda: None,
        ),
    )  # fmt: skip


async def test_a_commit_never_takes_the_seat_of_the_next_generation() -> None:
    """Kafka checks generation and member, not who owns a partition: with the next seat a stale result would be taken.

    The race: a commit asks for the metadata of a new topic; meanwhile its member is assigned anew, without it.
    """
    member = KafkaMembership(KafkaBus("127.0.0.1:1"), "a.h", ["t"], "a.h.control")
    member._consumer = consumer(7, "m-7")
    coordinator = member._consumer._coordinator
    await member.on_partitions_assigned({TopicPartition("t", 0)})
    written: list[wire.Member] = []

    async def assigned_meanwhile(outputs: Any, connection: Any) -> list[Any]:
        coordinator.generation = 8
        await member.on_partitions_assigned(set())
        return []

    async def write(messages: Any, progress: Any, seat: wire.Member) -> None:
        written.append(seat)

    member._bus.messages = assigned_meanwhile  # type: ignore[method-assign]
    member._producer.write = write  # type: ignore[method-assign, assignment]
    transaction = Transaction([Out("t", None, {}, b"")], [], {Partition("t", 0): Progress(5, "")})
    await member.commit(transaction, member.assignment.generation)
    assert [seat.generation for seat in written] == [7]
    await member._connection.close()


async def test_only_what_is_surely_stored_is_handed_over() -> None:
    """At a rebalance a member marks what it stored last as handed over; never after an unknown outcome."""
    member = KafkaMembership(KafkaBus("127.0.0.1:1"), "a.h", ["t"], "a.h.control")
    member._consumer = consumer(1, "m")
    member.handed_over = lambda text: text + " handed"
    places = {TopicPartition("t", 0), TopicPartition("t", 1)}
    await member.on_partitions_assigned(places)
    written: list[dict[Partition, Progress]] = []

    async def write(messages: Any, progress: Any, seat: wire.Member) -> None:
        written.append(dict(progress))
        if progress.get(Partition("t", 1)) == Progress(9, "b"):
            raise ConnectionError("nobody knows")

    member._producer.write = write  # type: ignore[method-assign, assignment]
    generation = member.assignment.generation
    zero, one = Partition("t", 0), Partition("t", 1)
    await member.commit(Transaction(progress={zero: Progress(3, "a"), one: Progress(4, "a")}), generation)
    with pytest.raises(ConnectionError):
        await member.commit(Transaction(progress={one: Progress(9, "b")}), generation)
    await member.on_partitions_revoked(places)
    assert written[-1] == {zero: Progress(3, "a handed")}
    await member._connection.close()


async def test_a_hand_over_never_brings_an_older_progress_back() -> None:
    """A commit that began before the rebalance is over before what is stored is looked up: the newer one is written."""
    member = KafkaMembership(KafkaBus("127.0.0.1:1"), "a.h", ["t"], "a.h.control")
    member._consumer = consumer(1, "m")
    member.handed_over = lambda text: text + " handed"
    await member.on_partitions_assigned({TopicPartition("t", 0)})
    written: list[Progress] = []

    async def write(messages: Any, progress: Any, seat: wire.Member) -> None:
        await asyncio.sleep(0)
        written.extend(progress.values())

    member._producer.write = write  # type: ignore[method-assign, assignment]
    place, generation = Partition("t", 0), member.assignment.generation
    await member.commit(Transaction(progress={place: Progress(3, "a")}), generation)
    for ahead in range(6):  # the rebalance begins so many steps after the commit
        newer = Transaction(progress={place: Progress(9 + ahead, "b")})
        commit = asyncio.create_task(member.commit(newer, generation))
        for _ in range(ahead):
            await asyncio.sleep(0)
        await member.on_partitions_revoked({TopicPartition("t", 0)})
        member._stable.set()
        await commit
        numbers = [progress.watermark for progress in written]
        assert numbers == sorted(numbers), f"{ahead}: {written}"
        written.clear()
    await member._connection.close()
