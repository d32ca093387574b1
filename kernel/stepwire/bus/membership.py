"""A worker's seat in a group of the local bus: what it owns, what it reads from there, what it commits.

In: records and stored state of its bus. Out: the `Membership` of the bus contract.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stepwire.bus.protocol import Assignment, Partition, Progress, Record, Transaction
from stepwire.errors import Fenced

if TYPE_CHECKING:
    from stepwire.bus.local import LocalBus


Split = Callable[[Sequence[Partition], int], Sequence[frozenset[Partition]]]


def exclusive(partitions: Sequence[Partition], members: int) -> list[frozenset[Partition]]:
    """The first member of a group owns all; the others stand by."""
    return [frozenset(partitions), *[frozenset[Partition]()] * (members - 1)]


@dataclass(slots=True)
class Group:
    """A consumer group, as one process knows it."""

    name: str
    number: int
    topics: tuple[str, ...]
    control: str
    members: list[LocalMembership] = field(default_factory=list)
    generation: int = -1
    lock: int | None = None  #: the descriptor that holds the operating system's lock; None: another process has it

    def acquire(self, path: str) -> None:
        """Take the operating system's lock, if no other process has it; a bus in memory is nobody else's."""
        if path == ":memory:":
            self.lock = -1
            return
        folder = Path(path + ".locks")
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / self.name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
        else:
            self.lock = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self.lock is not None and self.lock >= 0:
            os.close(self.lock)
        self.lock = None


class LocalMembership:
    """A seat in a group of a local bus."""

    def __init__(self, bus: LocalBus, group: Group) -> None:
        self._bus, self._group = bus, group
        self.handed_over: Callable[[str], str] = str  #: nobody hands over here: one process owns a group
        self._assignment = Assignment(-1, frozenset())
        self._news = asyncio.Event()
        self._turn = 0  #: whose records come first: with room for few, the others' turn comes too

    @property
    def assignment(self) -> Assignment:
        """What it owns now."""
        return self._assignment

    def assign(self, assignment: Assignment) -> None:
        """Called by the bus."""
        self._assignment = assignment
        self._news.set()

    def notice(self) -> None:
        """There may be something to read, or room for it: a waiting fetch returns."""
        self._news.set()

    async def fetch(self, positions: Mapping[Partition, int], limit: int) -> Sequence[Record]:
        """At most `limit` records, shared fairly by the partitions; waits for one, or for a change."""
        bus = self._bus
        behind = [partition for partition, offset in positions.items() if offset < bus.log.end(partition)]
        if not behind or limit <= 0:
            await self._news.wait()
            self._news.clear()
            if bus.broken is not None:
                raise bus.broken
            behind = [partition for partition, offset in positions.items() if offset < bus.log.end(partition)]
            if not behind or limit <= 0:
                return ()
        quota, self._turn = -(-limit // len(behind)), self._turn + 1
        found: list[Record] = []
        for partition in behind[self._turn % len(behind) :] + behind[: self._turn % len(behind)]:
            if len(found) < limit:
                found += bus.log.take(partition, positions[partition], min(quota, limit - len(found)))
        return found

    def passed(self, partition: Partition) -> int:  # noqa: ARG002 - the contract's signature
        """Offsets have no gaps here."""
        return 0

    async def commit(self, transaction: Transaction, generation: int) -> None:
        """Write all of it or nothing."""
        if generation != self._assignment.generation or self not in self._group.members:
            raise fenced(self._group.name)
        await self._bus.commit(self._group, transaction, generation)

    async def progress(self, partitions: Sequence[Partition]) -> Mapping[Partition, Progress]:
        """What was committed for each."""
        stored = self._bus.store.progress(self._group.number)
        topics = await self._bus.describe([partition.topic for partition in partitions])
        numbers = {name: self._bus.log.topics[name][0] for name in topics}
        return {p: stored[numbers[p.topic], p.number] for p in partitions if (numbers[p.topic], p.number) in stored}

    async def scan(self, partition: int) -> AsyncIterator[tuple[str, bytes]]:
        """Every key and value of one control partition."""
        after = ""
        while rows := self._bus.store.state(self._group.number, partition, after, 2_000):
            for row in rows:
                yield row
            after = rows[-1][0]
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Give the partitions back."""
        if self in self._group.members:
            self._bus.leave(self._group, self)


def fenced(group: str) -> Fenced:
    """The error of a commit under an assignment that was replaced."""
    return Fenced(f"{group} has a newer owner; this worker drops what it was doing there")


def partition_of(key: str | None, partitions: int) -> int:
    """Where a key lies; without a key all lie together."""
    return zlib.crc32(key.encode("utf-8", "surrogateescape")) % partitions if key and partitions > 1 else 0
