"""What a transaction promises when answers are lost, when its writer stalls, when a record is too large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import EndTxnRequest
from tests.brokers.client import create, read_all

from stepwire.bus.kafka import wire
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.connection import Connection
from stepwire.bus.kafka.groups import committed
from stepwire.bus.kafka.producer import Message, Producer
from stepwire.bus.protocol import Out, Partition, Progress, Transaction
from stepwire.errors import Fenced, OutcomeUnknown, RecordRefused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LARGE = 2 * 1024 * 1024


@pytest.fixture
async def connection(kafka: str) -> AsyncIterator[Connection]:
    """To the shared broker."""

    async def unasked() -> str:
        return "nobody asked why"

    opened = Connection({"bootstrap_servers": kafka}, "test", unasked, patience=3.0)
    await opened.open()
    yield opened
    await opened.close()


def messages(topic: str, *values: bytes) -> list[Message]:
    return [Message(Partition(topic, 0), None, [], value) for value in values]


def lose_answers(connection: Connection, kind: type, count: int) -> None:
    """The broker gets these requests, and the first so many answers never arrive."""
    ask, left = connection.ask, [count]

    async def lossy(node: Any, request: Any, *rest: Any) -> Any:
        answer = await ask(node, request, *rest)
        if isinstance(request, kind) and left[0]:
            left[0] -= 1
            return None
        return answer

    connection.ask = lossy  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", [ProduceRequest, EndTxnRequest])
async def test_a_lost_answer_doubles_nothing(kafka: str, topic_prefix: str, connection: Connection, kind: type) -> None:
    """A request whose answer is lost is repeated, and the brokers know it: each record is there once."""
    topic = topic_prefix + "t"
    create(kafka, topic)
    producer = Producer(connection, topic_prefix + "p")
    lose_answers(connection, kind, 2)
    await producer.write(messages(topic, b"1", b"2"), {}, None)
    await producer.write(messages(topic, b"3"), {}, None)
    assert read_all(kafka, topic, "read_committed") == [b"1", b"2", b"3"]


async def test_what_was_not_ended_is_never_seen(kafka: str, topic_prefix: str, connection: Connection) -> None:
    """A commit whose request never arrives ends as unknown; the next epoch aborts it, and the records do not appear."""
    topic = topic_prefix + "t"
    create(kafka, topic)
    producer = Producer(connection, topic_prefix + "p", timeout=2.0)
    ask = connection.ask

    async def deaf(node: Any, request: Any, *rest: Any) -> Any:
        return None if isinstance(request, EndTxnRequest) else await ask(node, request, *rest)

    connection.ask = deaf  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        await producer.write(messages(topic, b"never"), {}, None)
    connection.ask = ask  # type: ignore[method-assign]
    await producer.write(messages(topic, b"good"), {}, None)
    assert read_all(kafka, topic, "read_committed") == [b"good"]


async def test_who_is_fenced_keeps_nobody_waiting(kafka: str, topic_prefix: str, connection: Connection) -> None:
    """Its transaction is aborted at once, not at its timeout: what others write behind it is read without a wait."""
    topic = topic_prefix + "t"
    create(kafka, topic)
    zombie, successor = (Producer(connection, topic_prefix + name) for name in ("z", "s"))
    await zombie.write(messages(topic, b"before"), {}, None)
    progress = {Partition(topic, 0): Progress(1, "")}
    with pytest.raises(Fenced):
        await zombie.write(messages(topic, b"never"), progress, wire.Member(topic_prefix + "g", 7, "long-gone"))
    await successor.write(messages(topic, b"next"), {}, None)
    assert read_all(kafka, topic, "read_committed") == [b"before", b"next"]
    assert b"never" in read_all(kafka, topic, "read_uncommitted")
    await zombie.write(messages(topic, b"later"), {}, None)
    assert read_all(kafka, topic, "read_committed") == [b"before", b"next", b"later"]


async def test_a_record_that_is_too_large_harms_no_neighbour(
    kafka: str, topic_prefix: str, connection: Connection
) -> None:
    """The whole transaction is refused, for certain; without the culprit it goes through, under the same producer."""
    topic = topic_prefix + "t"
    create(kafka, topic)
    producer = Producer(connection, topic_prefix + "p")
    with pytest.raises(RecordRefused, match=r"max\.message\.bytes"):
        await producer.write(messages(topic, b"small", bytes(LARGE)), {}, None)
    await producer.write(messages(topic, b"small"), {}, None)
    assert read_all(kafka, topic, "read_committed") == [b"small"]


async def test_many_records_and_large_ones_keep_their_order(
    kafka: str, topic_prefix: str, connection: Connection
) -> None:
    """More than fits one batch is several batches of one transaction, in order, and each is told where it lies."""
    topic = topic_prefix + "t"
    create(kafka, topic)
    values = [b"%05d" % i + bytes(20_000) for i in range(200)]
    placed = await Producer(connection, topic_prefix + "p").write(messages(topic, *values), {}, None)
    assert [offset for _, offset in placed] == list(range(200))
    assert read_all(kafka, topic, "read_committed") == values


@pytest.mark.parametrize("stable", [True, False])
async def test_whoever_takes_over_waits_for_the_open_transaction(
    kafka: str, topic_prefix: str, connection: Connection, monkeypatch: pytest.MonkeyPatch, stable: bool
) -> None:
    """KIP-447: progress is told once a predecessor's transaction is decided; asked without, the old one is told."""
    bus = KafkaBus(kafka, prefix=topic_prefix, session=6.0, create_topics=True)
    await bus.open()
    await bus.create({"in": 1, "out": 1, "g.control": 1})
    member = await bus.join("g", ["in"], "g.control")
    place = Partition("in", 0)
    async with asyncio.timeout(30):
        while not member.assignment.partitions:
            await asyncio.sleep(0.01)
    generation = member.assignment.generation
    await member.commit(Transaction(progress={place: Progress(1, "old")}), generation)
    gate, end = asyncio.Event(), member._producer._end

    async def stalled() -> None:
        await gate.wait()  # as a worker that was stopped right before it commits
        await end()

    monkeypatch.setattr(member._producer, "_end", stalled)
    late = asyncio.create_task(
        member.commit(Transaction([Out("out", "k", {}, b"late")], progress={place: Progress(2, "new")}), generation)
    )
    await asyncio.sleep(1.0)  # the offsets have reached the coordinator
    if not stable:
        build = wire.OffsetFetch.build
        monkeypatch.setattr(wire.OffsetFetch, "build", lambda s, k: _unstable(build(s, k)))
    asking = asyncio.create_task(committed(connection, topic_prefix + "g", [Partition(topic_prefix + "in", 0)]))
    await asyncio.sleep(1.0)
    assert asking.done() is not stable
    gate.set()
    await late
    told = (await asking)[Partition(topic_prefix + "in", 0)]
    assert told == (Progress(2, "new") if stable else Progress(1, "old"))
    await bus.close()


def _unstable(request: Any) -> Any:
    request.require_stable = False
    return request


async def test_other_clients_of_the_process_are_not_touched(kafka: str, topic_prefix: str) -> None:
    """Aiokafka's own admin client reads a group's offsets beside us, in its own version of the protocol."""
    bus = KafkaBus(kafka, prefix=topic_prefix, session=6.0, create_topics=True)
    await bus.open()
    await bus.create({"in": 1, "g.control": 1})
    await bus.found({"g": ["in", "g.control"]})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    offsets = await admin.list_consumer_group_offsets(topic_prefix + "g")
    await admin.close()
    await bus.close()
    assert {place.topic for place in offsets} == {topic_prefix + "in", topic_prefix + "g.control"}
