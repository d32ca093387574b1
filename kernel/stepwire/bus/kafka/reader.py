"""Reading without a group: a partition from an offset on, or a changelog up to its end.

In: partitions and offsets. Out: records that are committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from stepwire.bus.kafka.connection import CLOSING, LEADER_MOVED, NETWORK, PASSING, Connection, insist, meaning
from stepwire.bus.protocol import Partition
from stepwire.errors import BusUnavailable

LATEST, EARLIEST = -1, -2
UNCOMMITTED, COMMITTED = 0, 1  #: isolation levels
STEP = 0.2  #: seconds that one look for records waits
PATIENCE = 30.0  #: seconds without any progress after which restoring gives up and says so


async def offsets(
    connection: Connection,
    partitions: Sequence[Partition],
    at: int = LATEST,
    isolation: int = COMMITTED,
    patience: float = PATIENCE,
) -> dict[Partition, int]:
    """Offsets of a time (milliseconds; LATEST, EARLIEST). Raises BusUnavailable."""
    await connection.know({partition.topic for partition in partitions})
    found: dict[Partition, int] = {}

    async def attempt() -> int:
        nodes: dict[int | None, dict[str, list[tuple[int, int]]]] = {}
        for partition in partitions:
            if partition not in found:
                node = nodes.setdefault(connection.leader(partition), {})
                node.setdefault(partition.topic, []).append((partition.number, at))
        codes = {await _ask(connection, node, topics, isolation, found) for node, topics in nodes.items()}
        if codes & LEADER_MOVED:
            await connection.refresh()
        return min(codes - {0}, key=lambda code: code in PASSING, default=0)

    code = await insist("read offsets", attempt, asyncio.get_running_loop().time() + patience)
    if code:
        raise BusUnavailable(f"read offsets of {', '.join(sorted({p.topic for p in partitions}))}: {meaning(code)}")
    return found


async def settled_ends(connection: Connection, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """The end of what is written now, once the transactions that are open there are over; at most for PATIENCE.

    A publisher hears of its success before the marker reaches every partition: the committed end alone may lie before
    a record that its publisher knows to be written.
    """
    ends = await offsets(connection, partitions, LATEST, UNCOMMITTED)
    until = asyncio.get_running_loop().time() + PATIENCE
    while True:
        stable = await offsets(connection, partitions, LATEST, COMMITTED)
        if all(stable[place] >= end for place, end in ends.items()) or asyncio.get_running_loop().time() > until:
            return {place: min(end, stable[place]) for place, end in ends.items()}
        await asyncio.sleep(0.01)


async def _ask(
    connection: Connection,
    node: int | None,
    topics: Mapping[str, list[tuple[int, int]]],
    isolation: int,
    found: dict[Partition, int],
) -> int:
    answer = await connection.ask(node, OffsetRequest(-1, isolation, list(topics.items())))
    if answer is None:
        return NETWORK
    failed = 0
    for topic, rows in answer.topics:
        for number, code, _, offset, *_ in rows:
            if code:
                failed = code
            else:
                found[Partition(topic, number)] = offset
    return failed


class Reader:
    """A consumer without a group."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._connection.options, client_id=self._connection.name, group_id=None, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20,
        )  # fmt: skip
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            raise BusUnavailable(f"cannot read from Kafka: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            with contextlib.suppress(TimeoutError, KafkaError, OSError):
                await asyncio.wait_for(self._consumer.stop(), CLOSING)

    async def up_to_the_end(self, partition: Partition) -> AsyncGenerator[Any]:
        """What lies in a partition now, as aiokafka's records.

        The end is that of everything written, committed or not: a transaction of whoever had the partition before may
        have its offsets committed while the marker of this very partition is still being written (markers are written
        to each partition on its own). Reading committed records up to there waits for that marker.
        """
        ends = await offsets(self._connection, [partition], LATEST, UNCOMMITTED)
        starts = await offsets(self._connection, [partition], EARLIEST, UNCOMMITTED)
        async for found in self.between(partition, starts[partition], ends[partition]):
            yield found

    async def between(
        self, partition: Partition, start: int, end: int, patience: float = PATIENCE
    ) -> AsyncGenerator[Any]:
        """Committed records of [start, end). Raises BusUnavailable if nothing comes for so long."""
        if start >= end:
            return
        assert self._consumer is not None
        place, loop = TopicPartition(*partition), asyncio.get_running_loop()
        self._consumer.assign([place])
        self._consumer.seek(place, start)
        at, moved = start, loop.time()
        try:
            while at < end:
                got = await self._consumer.getmany(place, timeout_ms=int(STEP * 1000), max_records=2_000)
                for found in got.get(place, ()):
                    if found.offset < end:
                        yield found
                before, at = at, await self._consumer.position(place)
                if at > before:
                    moved = loop.time()
                elif loop.time() - moved > patience:
                    raise BusUnavailable(f"{partition.topic}[{partition.number}]: nothing readable after offset {at}")
        except KafkaError as error:
            raise BusUnavailable(f"cannot read {partition.topic}[{partition.number}]: {error}") from error
