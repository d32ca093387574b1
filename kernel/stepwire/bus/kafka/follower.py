"""Following many partitions at once, for those who keep a copy of what lies on the cluster.

In: partitions, and where to begin in each. Out: committed records in pages, up to the end as it is when asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stepwire.bus.kafka.connection import CLOSING, Connection
from stepwire.bus.kafka.reader import EARLIEST, offsets, settled_ends
from stepwire.bus.kafka.records import record
from stepwire.bus.protocol import Partition, Record
from stepwire.errors import BusUnavailable

if TYPE_CHECKING:
    from stepwire.bus.kafka.bus import KafkaBus

WAIT = 0.1  #: seconds that one fetch waits


class Follower:
    """Reads some partitions from where it was told on."""

    def __init__(self, bus: KafkaBus, connection: Connection, partitions: Sequence[Partition]) -> None:
        self._bus, self._connection = bus, connection
        self._places = {bus.place(partition): partition for partition in partitions}
        self._consumer: AIOKafkaConsumer | None = None
        self._at: dict[TopicPartition, int] = {}

    async def open(self, positions: Mapping[Partition, int]) -> None:
        """Begin at these positions, where none is given at the first record there is. Raises BusUnavailable."""
        cluster = [self._bus.cluster_place(partition) for partition in self._places.values()]
        starts = await offsets(self._connection, cluster, EARLIEST)
        self._consumer = AIOKafkaConsumer(
            **self._bus.options, client_id=self._bus.client_id, group_id=None, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20,
        )  # fmt: skip
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            raise BusUnavailable(f"cannot read from Kafka: {error}") from error
        self._consumer.assign([*self._places])
        for place, partition in self._places.items():
            self._at[place] = max(positions.get(partition, 0), starts[self._bus.cluster_place(partition)])
            self._consumer.seek(place, self._at[place])

    async def close(self) -> None:
        """Give the connections back; bounded in time."""
        if self._consumer is not None:
            with contextlib.suppress(TimeoutError, KafkaError, OSError):
                await asyncio.wait_for(self._consumer.stop(), CLOSING)

    async def to_the_end(self, page: int) -> AsyncGenerator[tuple[list[Record], dict[Partition, int]]]:
        """Records and how far that goes, until all that is there now was read. Raises BusUnavailable."""
        ends = await settled_ends(self._connection, [self._bus.cluster_place(p) for p in self._places.values()])
        while behind := [place for place in self._places if self._at[place] < ends[Partition(*place)]]:
            assert self._consumer is not None
            try:
                got = await self._consumer.getmany(*behind, timeout_ms=int(WAIT * 1000), max_records=page)
                for place in behind:
                    self._at[place] = await self._consumer.position(place)
            except KafkaError as error:
                raise BusUnavailable(f"cannot read from Kafka: {error}") from error
            records = [record(found, self._places[place].topic) for place, some in got.items() for found in some]
            yield records, {self._places[place]: self._at[place] for place in behind}
