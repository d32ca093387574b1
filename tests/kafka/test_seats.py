"""A commit carries the seat that its results were computed under, whatever happens while it is being prepared."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

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


async def test_nothing_that_was_stored_under_an_older_seat_is_handed_over() -> None:
    """Whoever had the partition since has gone on from there: written again it would bring their records back.

    The races: the answer to a commit comes after the new assignment; a hand-over waited so long for a commit.
    """
    member = KafkaMembership(KafkaBus("127.0.0.1:1"), "a.h", ["t"], "a.h.control")
    member._consumer = consumer(1, "m")
    member.handed_over = lambda text: text + " handed"
    zero, one = TopicPartition("t", 0), TopicPartition("t", 1)
    answered, written = asyncio.Event(), list[tuple[int, dict[Partition, Progress]]]()

    async def write(messages: Any, progress: Any, seat: wire.Member) -> None:
        written.append((seat.generation, dict(progress)))
        await answered.wait()

    async def slow_commit() -> asyncio.Task[None]:
        answered.clear()
        transaction = Transaction(progress={Partition("t", 0): Progress(50, "x")})
        commit = asyncio.create_task(member.commit(transaction, member.assignment.generation))
        while len(written) < 1:
            await asyncio.sleep(0)
        return commit

    member._producer.write = write  # type: ignore[method-assign, assignment]
    for first in ("the rebalance", "the commit"):
        await member.on_partitions_assigned({zero, one})
        if first == "the rebalance":
            await member.on_partitions_revoked({zero, one})
        commit = await slow_commit()
        revoked = asyncio.create_task(member.on_partitions_revoked({zero, one}))
        await asyncio.sleep(0)
        member._consumer._coordinator.generation += 1
        await member.on_partitions_assigned({one})
        answered.set()
        await asyncio.gather(commit, revoked)
        await member.on_partitions_revoked({one})
        marked = Progress(50, "x handed" if first == "the rebalance" else "x")
        assert [progress for _, progress in written] == [{Partition("t", 0): marked}]
        written.clear()
        await member.on_partitions_assigned(set())
    await member._connection.close()


async def test_what_a_member_has_it_goes_on_reading_while_its_group_waits() -> None:
    """From the first moment of a rebalance, or a fetch would wait for its end; not if it was expelled."""
    for generation, goes_on in ((3, True), (-1, False)):
        member = KafkaMembership(KafkaBus("127.0.0.1:1"), "a.h", ["t"], "a.h.control")
        member._consumer = consumer(3, "m")
        await member.on_partitions_assigned({TopicPartition("t", 0)})
        subscription = member._consumer._subscription.subscription
        subscription._reassignment_in_progress = True
        member._consumer._coordinator.generation = generation
        revoked = member.on_partitions_revoked({TopicPartition("t", 0)})
        revoked.send(None)
        assert subscription._reassignment_in_progress is not goes_on
        revoked.close()
        await member._connection.close()


async def test_a_fetch_of_what_was_taken_away_lets_others_run() -> None:
    """The client knows the new assignment some turns before we do: a fetch that never waits would keep us from it."""
    member = KafkaMembership(KafkaBus("127.0.0.1:1"), "a.h", ["t"], "a.h.control")
    member._consumer = consumer(1, "m")
    await member.on_partitions_assigned({TopicPartition("t", 0)})
    member._news.clear()

    def seek(place: TopicPartition, offset: int) -> None:
        raise IllegalStateError(f"{place} is not assigned, nor is {offset}")

    member._consumer.seek = seek
    told: list[str] = []
    asyncio.get_running_loop().call_soon(told.append, "the new assignment")
    assert list(await member.fetch({Partition("t", 0): 0}, 10)) == []
    assert told
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
