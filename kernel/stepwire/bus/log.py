"""What one process knows of the local bus's file: its topics, where each partition ends, and the young records.

In: outputs to append, inside a transaction of whoever calls. Out: records, from memory while they are young, else from
the file. When another process has written, what was known is forgotten and read again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from stepwire.bus.protocol import Out, Partition, Record
from stepwire.bus.sqlite import Store, position

TAIL = 1_024  #: young records kept in memory for each partition
TAIL_BYTES = 65_536  #: a larger record is read from the file


class Log:
    """The topics of one file, as this process knows them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ends: dict[Partition, int] = {}
        self._tails: dict[Partition, deque[Record]] = {}
        self._version = -1
        self.topics: dict[str, tuple[int, int]] = {}
        self.refresh()

    def is_stale(self) -> bool:
        """Has another process written since `refresh`?"""
        return self._store.data_version() != self._version

    def refresh(self) -> None:
        """Forget what was known: another process wrote to the file."""
        self._version = self._store.data_version()
        self.topics = self._store.topics()
        self._ends.clear()
        self._tails.clear()

    def undo(self) -> None:
        """A transaction was rolled back: offsets that it gave out do not exist."""
        self._ends.clear()
        self._store.forget_runs()

    def partitions(self, topic: str) -> list[Partition]:
        """The partitions of a topic."""
        return [Partition(topic, number) for number in range(self.topics[topic][1])]

    def end(self, partition: Partition) -> int:
        """The next offset of a partition."""
        end = self._ends.get(partition)
        if end is None:
            end = self._ends[partition] = self._store.end(self.topics[partition.topic][0], partition.number)
        return end

    def take(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        """Records from `offset` on."""
        tail = self._tails.get(partition)
        if tail and tail[0].offset <= offset <= tail[-1].offset:
            start = offset - tail[0].offset
            end = min(start + limit, len(tail))
            # A deque is fast at its ends only: the few youngest by index, many at once in one pass.
            return [tail[i] for i in range(start, end)] if end - start < 64 else list(islice(tail, start, end))
        topic = self.topics[partition.topic][0]
        return self._store.read(partition.topic, topic, partition.number, offset, limit)

    def append(self, outputs: Sequence[tuple[Out, int]], now: float) -> list[Record]:
        """Write records, each with the number of its partition; KeyError names a topic that does not exist."""
        rows, records, ends = [], [], self._ends
        for out, number in outputs:
            topic, _ = self.topics[out.topic]
            place = (out.topic, number)
            offset = ends.get(place)  # type: ignore[call-overload]  # a Partition is such a pair; a pair is made faster
            if offset is None:
                offset = self.end(Partition(out.topic, number))
            ends[place] = offset + 1  # type: ignore[index]
            rows.append((position(topic, number, offset), now, out))
            records.append(Record(out.topic, number, offset, now, out.key, out.headers, out.value))
        if rows:
            self._store.append(rows)
        return records

    def keep(self, records: Sequence[Record]) -> None:
        """Remember records that were committed just now."""
        for record in records:
            tail = self._tails.get((record.topic, record.partition))  # type: ignore[call-overload]
            if tail is None:
                tail = self._tails[Partition(record.topic, record.partition)] = deque(maxlen=TAIL)
            if len(record.value) > TAIL_BYTES or (tail and tail[-1].offset + 1 != record.offset):
                tail.clear()  # what is kept must be contiguous
            if len(record.value) <= TAIL_BYTES:
                tail.append(record)
