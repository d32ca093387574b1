"""Reading without a group: some partitions from where one likes, up to their end as it is when asked.

In: partitions and offsets. Out: committed records.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from stepwire.bus.kafka.connection import LEADER_MOVED, NETWORK, Connection, meaning, stopped, undivided, worst
from stepwire.bus.protocol import Partition
from stepwire.errors import BusUnavailable

LATEST, EARLIEST = -1, -2
UNCOMMITTED, COMMITTED = 0, 1  #: isolation levels
PAGE = 2_000  #: records at once
STEP = 0.2  #: seconds that one look for records waits
PATIENCE = 30.0  #: seconds to wait for brokers, and for transactions that are open; the brokers end those after ten


async def offsets(
    connection: Connection, partitions: Sequence[Partition], at: int = LATEST, isolation: int = COMMITTED
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
        return worst(codes)

    code = await connection.insist("read offsets", attempt, asyncio.get_running_loop().time() + PATIENCE)
    if code:
        raise BusUnavailable(f"read offsets of {', '.join(sorted({p.topic for p in partitions}))}: {meaning(code)}")
    return found


async def settled_ends(connection: Connection, places: Sequence[Partition], patience: float) -> dict[Partition, int]:
    """The end of what is written now, once the transactions that are open there are over; `patience` seconds at most.

    A publisher hears of its success before the marker reaches every partition: the committed end alone may lie before
    a record that its publisher knows to be written.
    """
    loop, pause = asyncio.get_running_loop(), 0.005
    ends = await offsets(connection, places, LATEST, UNCOMMITTED) if patience else {}
    until = loop.time() + patience
    while True:
        stable = await offsets(connection, places, LATEST, COMMITTED)
        if all(stable[place] >= end for place, end in ends.items()) or loop.time() + pause > until:
            return {place: min(ends.get(place, end), end) for place, end in stable.items()}
        await asyncio.sleep(pause)
        pause = min(pause * 2, STEP)


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
    """A consumer without a group, of some partitions (under their names on the cluster).

    Args:
        positions: where to begin; where none is given, at the first record there is.
    """

    def __init__(
        self, connection: Connection, partitions: Sequence[Partition], positions: Mapping[Partition, int] | None = None
    ) -> None:
        self._connection, self._partitions = connection, [TopicPartition(*partition) for partition in partitions]
        self._wanted, self._at = positions or {}, dict[TopicPartition, int]()
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._connection.options, client_id=self._connection.name, group_id=None, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20,
        )  # fmt: skip
        try:
            await undivided(self._consumer.start())
            starts = await self.starts()
        except BaseException as error:
            await stopped(self._consumer)
            if isinstance(error, (KafkaError, OSError)):
                raise BusUnavailable(f"cannot read from Kafka: {error}") from error
            raise
        self._consumer.assign(self._partitions)
        for place in self._partitions:
            self._at[place] = max(self._wanted.get(Partition(*place), 0), starts[Partition(*place)])
            self._consumer.seek(place, self._at[place])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await stopped(self._consumer)

    async def starts(self) -> dict[Partition, int]:
        """Where the cluster's records begin now: what lay before was deleted there. Raises BusUnavailable."""
        return await offsets(self._connection, [Partition(*place) for place in self._partitions], EARLIEST)

    async def to_the_end(self, page: int) -> AsyncGenerator[tuple[list[Any], dict[Partition, int]]]:
        """Committed records of aiokafka, and how far they go, until all that is there now was read.

        The end is that of everything written, committed or not: a transaction of whoever had a partition before may
        have its offsets committed while the marker of this very partition is still being written (markers are written
        to each partition on its own). Raises BusUnavailable.
        """
        assert self._consumer is not None
        ends = await settled_ends(self._connection, [Partition(*place) for place in self._partitions], PATIENCE)
        while behind := [place for place in self._partitions if self._at[place] < ends[Partition(*place)]]:
            try:
                got = await self._consumer.getmany(*behind, timeout_ms=int(STEP * 1000), max_records=page)
                self._at |= {place: await self._consumer.position(place) for place in behind}
            except KafkaError as error:
                raise BusUnavailable(f"cannot read from Kafka: {error}") from error
            yield [found for some in got.values() for found in some], {Partition(*p): self._at[p] for p in behind}


async def latest(connection: Connection, partitions: Sequence[Partition]) -> dict[str, bytes]:
    """The last value of every key of a compacted topic's partitions. Raises BusUnavailable."""
    found: dict[str, bytes] = {}
    if partitions:
        async with Reader(connection, partitions) as reader:
            async for page, _ in reader.to_the_end(PAGE):
                for one in page:
                    key = (one.key or b"").decode("utf-8", "surrogateescape")
                    if one.value is None:
                        found.pop(key, None)
                    else:
                        found[key] = one.value
    return found
