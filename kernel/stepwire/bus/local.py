"""The embedded bus: one SQLite file in WAL mode, or memory. kill -9 at any instant loses nothing committed.

In: publishes and transactions, which the loop gathers and writes as one SQLite transaction, without linger. Out:
records, from memory while they are young, else from the file. A group belongs to one process at a time: an operating
system lock, plus a generation row that every commit checks. Others stand by; any process may publish and read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stepwire.bus.checkpoints import Checkpoints
from stepwire.bus.membership import Group, LocalMembership, fenced
from stepwire.bus.protocol import Assignment, Out, Partition, Progress, Record, TopicInfo, Transaction
from stepwire.bus.sqlite import MAX_PARTITIONS, Store, meaning, position
from stepwire.clock import Clock, SystemClock
from stepwire.errors import BusUnavailable, SettingsError

POLL = 0.01  #: seconds between two looks for other processes' commits
STANDBY = 0.2  #: seconds between two tries to take over a group
TAIL = 1_024  #: young records kept in memory for each partition
TAIL_BYTES = 65_536  #: a larger record is read from the file
PURGE = 1_000  #: finished control records that are deleted at once

Split = Callable[[Sequence[Partition], int], Sequence[frozenset[Partition]]]


def exclusive(partitions: Sequence[Partition], members: int) -> list[frozenset[Partition]]:
    """The first member of a group owns all; the others stand by."""
    return [frozenset(partitions), *[frozenset[Partition]()] * (members - 1)]


@dataclass(slots=True)
class _Waiting:
    """One write that waits for the next SQLite transaction."""

    done: asyncio.Future[list[tuple[Partition, int]]]
    outputs: Sequence[Out]
    transaction: Transaction | None = None
    group: Group | None = None
    generation: int = 0


class LocalBus:
    """Topics in one SQLite file.

    Args:
        path: the file, or ":memory:".
        durability: "process" survives kill -9; "power" a power cut too.
        clock: who stamps the records.
        split: how a group's partitions are shared by its members in this process; tests share them out.
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        durability: str = "process",
        clock: Clock | None = None,
        split: Split = exclusive,
    ) -> None:
        if durability not in ("process", "power"):
            raise SettingsError(f'durability must be "process" or "power", not {durability!r}')
        self.path, self.colocated, self._power = path, split is exclusive, durability == "power"
        self.clock: Clock = clock or SystemClock()
        self._split = split
        self._groups: dict[str, Group] = {}
        self._waiting: list[_Waiting] = []
        self._scheduled: asyncio.Handle | None = None
        self._ends: dict[Partition, int] = {}
        self._tails: dict[Partition, deque[Record]] = {}
        self._purged: dict[Partition, int] = {}
        self._topics: dict[str, tuple[int, int]] = {}
        self._version = -1
        self._tasks: list[asyncio.Task[None]] = []
        self._checkpoints = Checkpoints(path)
        self.store: Store

    # -- life

    async def open(self) -> None:
        """Open or create the file. Raises BusUnavailable, BusCorrupt."""
        self.store = Store(self.path, power=self._power)
        self._refresh()
        if self.path != ":memory:":
            self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._checkpoints.run(self.store))]

    async def close(self) -> None:
        """Write what waits, give the groups back, close the file."""
        self._flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for group in self._groups.values():
            self._release(group)
        self._groups.clear()
        await self._checkpoints.close()
        self.store.close()

    async def _watch(self) -> None:
        """Notice what other processes committed, and take over groups whose owner is gone."""
        loop = asyncio.get_running_loop()
        next_try = loop.time()
        while True:
            await asyncio.sleep(POLL)
            with contextlib.suppress(BusUnavailable, sqlite3.Error):  # a locked file: the next commit says so
                if self.store.data_version() != self._version:
                    self._refresh()
                    self._wake(None)
                if loop.time() >= next_try:
                    next_try = loop.time() + STANDBY
                    for group in self._groups.values():
                        if group.lock is None:
                            self._acquire(group)

    def _refresh(self) -> None:
        """Forget what was known of the file: another process wrote to it."""
        try:
            self._version = self.store.data_version()
            self._topics = self.store.topics()
            self._ends.clear()
            self._tails.clear()
        except sqlite3.Error as error:
            raise meaning(error, "read", self.path) from error

    # -- topics

    def partition(self, key: str, partitions: int) -> int:
        """Where a key lies among so many partitions."""
        return partition_of(key, partitions)

    async def create(self, topics: Mapping[str, int]) -> None:
        """Create the topics that are missing; those with fewer partitions grow."""
        for name, partitions in topics.items():
            if not 0 < partitions <= MAX_PARTITIONS:
                raise SettingsError(f"{name}: the local bus has 1 to {MAX_PARTITIONS} partitions, not {partitions}")
        missing = {name: n for name, n in topics.items() if self._topics.get(name, (0, 0))[1] < n}
        if missing:
            await self._alone(lambda: self.store.add_topics(missing))
            self._refresh()
            for group in self._groups.values():
                if set(missing) & set(group.topics):
                    self.rebalance(group.name)

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """Those of the topics that exist."""
        self._refresh()
        return {name: TopicInfo(name, self._topics[name][1]) for name in topics if name in self._topics}

    async def found(self, groups: Mapping[str, Sequence[str]]) -> None:
        """R15: a group that never read a topic starts at the topic's present end."""

        def write() -> None:
            for name, topics in groups.items():
                self._found(name, topics)

        await self._alone(write)

    def _found(self, name: str, topics: Sequence[str]) -> None:
        number, _ = self.store.group(name)
        known = {topic for topic, _ in self.store.progress(number)}
        for topic in topics:
            id_, partitions = self._topics[topic]
            if id_ not in known:
                starts = {(id_, part): Progress(self.store.end(id_, part)) for part in range(partitions)}
                self.store.save_progress(number, starts)

    async def _alone(self, write: Callable[[], object]) -> None:
        """Run some rare write in a transaction of its own; waits up to 5 s for a locked file."""
        deadline = asyncio.get_running_loop().time() + 5.0
        while True:
            try:
                self.store.db.execute("BEGIN IMMEDIATE")
                try:
                    write()
                except BaseException:
                    self.store.db.execute("ROLLBACK")
                    raise
                self.store.db.execute("COMMIT")
            except sqlite3.Error as error:
                failure = meaning(error, "write", self.path)
                if not isinstance(failure, BusUnavailable) or asyncio.get_running_loop().time() > deadline:
                    raise failure from error
                await asyncio.sleep(POLL)
            else:
                return

    # -- groups

    async def join(self, group: str, topics: Sequence[str], control: str) -> LocalMembership:
        """Take a seat in a group; it owns nothing while another process holds the group's lock."""
        seat = self._groups.get(group)
        if seat is None:
            number = 0

            def register() -> None:
                nonlocal number
                number, _ = self.store.group(group)

            await self._alone(register)
            seat = self._groups[group] = Group(group, number, tuple(topics), control)
        member = LocalMembership(self, seat)
        seat.members.append(member)
        self._acquire(seat) if seat.lock is None else self.rebalance(group)
        return member

    def _acquire(self, group: Group) -> None:
        if self.path == ":memory:":
            group.lock = -1
        else:
            folder = Path(self.path + ".locks")
            folder.mkdir(exist_ok=True)
            descriptor = os.open(folder / group.name, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return
            group.lock = descriptor
        try:
            self.rebalance(group.name)
        except sqlite3.Error as error:  # a locked file: give the lock back and try again
            self._release(group)
            raise meaning(error, "write", self.path) from error

    def _release(self, group: Group) -> None:
        if group.lock is not None and group.lock >= 0:
            os.close(group.lock)
        group.lock = None

    def rebalance(self, name: str) -> None:
        """Give the group's partitions out anew, under a new generation: the old one is fenced."""
        group = self._groups[name]
        group.generation = self.store.new_generation(group.number)
        partitions = [
            Partition(topic, number)
            for topic in (*group.topics, group.control)
            for number in range(self._topics[topic][1])
        ]
        shares = self._split(partitions, len(group.members)) if group.members else []
        for member, share in zip(group.members, shares, strict=True):
            member.assign(Assignment(group.generation, share))

    def leave(self, group: Group, member: LocalMembership) -> None:
        """Give a member's partitions back."""
        group.members.remove(member)
        if group.members:
            self.rebalance(group.name)
        else:
            self._release(group)
            self._groups.pop(group.name, None)

    # -- reading

    async def ends(self, topics: Sequence[str]) -> Mapping[Partition, int]:
        """The next offset of each partition."""
        if self.store.data_version() != self._version:
            self._refresh()
        return {
            partition: self.end(partition)
            for topic in topics
            if topic in self._topics
            for partition in (Partition(topic, number) for number in range(self._topics[topic][1]))
        }

    def end(self, partition: Partition) -> int:
        """The next offset of one partition."""
        end = self._ends.get(partition)
        if end is None:
            end = self._ends[partition] = self.store.end(self._topics[partition.topic][0], partition.number)
        return end

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Record]:
        """Records from `offset` on; does not wait."""
        return self.take(partition, offset, limit)

    def take(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        """Records from `offset` on, young ones from memory."""
        tail = self._tails.get(partition)
        if tail and tail[0].offset <= offset <= tail[-1].offset:
            start = offset - tail[0].offset
            return list(islice(tail, start, start + limit))
        try:
            return self.store.read(partition.topic, self._topics[partition.topic][0], partition.number, offset, limit)
        except sqlite3.Error as error:
            raise meaning(error, "read", self.path) from error

    # -- writing

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Write records outside of any group, all or none; waits up to 5 s for a locked file."""
        deadline = asyncio.get_running_loop().time() + 5.0
        while True:
            try:
                return await self._write(_Waiting(asyncio.get_running_loop().create_future(), outputs))
            except BusUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(POLL)

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Write a group's transaction with whatever else waits."""
        future = asyncio.get_running_loop().create_future()
        await self._write(_Waiting(future, transaction.outputs, transaction, group, generation))

    async def _write(self, waiting: _Waiting) -> list[tuple[Partition, int]]:
        self._waiting.append(waiting)
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._flush)
        return await asyncio.shield(waiting.done)  # a cancelled caller does not take its write back

    def _flush(self) -> None:
        """One SQLite transaction for all that waits."""
        self._scheduled = None
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        try:
            self.store.db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            _fail(batch, meaning(error, "begin", self.path))
            return
        appended: list[Record] = []
        placed: list[tuple[_Waiting, list[tuple[Partition, int]]]] = []
        step = "write"
        try:
            if self.store.data_version() != self._version:
                self._refresh()
                batch = self._unfenced(batch)
            for waiting in batch:
                placed.append((waiting, self._append(waiting.outputs, appended)))
                self._save(waiting)
            step = "commit"
            self.store.db.execute("COMMIT")
        except (sqlite3.Error, KeyError) as error:
            self._undo()
            failure = meaning(error, step, self.path) if isinstance(error, sqlite3.Error) else _unknown_topic(error)
            _fail(batch, failure)
            return
        self._remember(appended)
        for waiting, places in placed:
            if not waiting.done.cancelled():
                waiting.done.set_result(places)

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite has often rolled back by itself
            self.store.db.execute("ROLLBACK")
        self._ends.clear()
        self.store.forget_runs()

    def _unfenced(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Those whose generation still stands; only another process's commit can have moved it."""
        good: list[_Waiting] = []
        for waiting in batch:
            if waiting.group is not None and self.store.generation(waiting.group.number) != waiting.group.generation:
                waiting.done.set_exception(fenced(waiting.group.name))
            else:
                good.append(waiting)
        return good

    def _append(self, outputs: Sequence[Out], appended: list[Record]) -> list[tuple[Partition, int]]:
        now, places, rows = self.clock.now(), [], []
        for out in outputs:
            id_, partitions = self._topics[out.topic]
            number = out.partition if out.partition is not None else partition_of(out.key, partitions)
            partition = Partition(out.topic, number)
            offset = self.end(partition)
            self._ends[partition] = offset + 1
            rows.append((position(id_, number, offset), now, out))
            appended.append(Record(out.topic, number, offset, now, out.key, out.headers, out.value))
            places.append((partition, offset))
        if rows:
            self.store.append(rows)
        return places

    def _save(self, waiting: _Waiting) -> None:
        transaction, group = waiting.transaction, waiting.group
        if transaction is None or group is None:
            return
        if transaction.progress:
            self.store.save_progress(
                group.number, {(self._topics[p.topic][0], p.number): value for p, value in transaction.progress.items()}
            )
        if transaction.changes:
            self.store.save_state(group.number, transaction.changes)
        for partition, progress in transaction.progress.items():
            if partition.topic == group.control and progress.watermark - self._purged.get(partition, 0) >= PURGE:
                self._purged[partition] = progress.watermark
                self.store.delete_before(self._topics[partition.topic][0], partition.number, progress.watermark)

    def _remember(self, appended: Sequence[Record]) -> None:
        for record in appended:
            partition = Partition(record.topic, record.partition)
            tail = self._tails.get(partition)
            if tail is None:
                tail = self._tails[partition] = deque(maxlen=TAIL)
            if len(record.value) > TAIL_BYTES:
                tail.clear()  # what follows must be contiguous
            else:
                if tail and tail[-1].offset + 1 != record.offset:
                    tail.clear()
                tail.append(record)
        self._wake({record.topic for record in appended})

    def _wake(self, topics: set[str] | None) -> None:
        for group in self._groups.values():
            if topics is None or group.control in topics or not topics.isdisjoint(group.topics):
                for member in group.members:
                    member.notice()


def partition_of(key: str | None, partitions: int) -> int:
    """Where a key lies; without a key all lie together."""
    return zlib.crc32(key.encode("utf-8", "surrogateescape")) % partitions if key and partitions > 1 else 0


def _fail(batch: Sequence[_Waiting], failure: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(failure)


def _unknown_topic(error: KeyError) -> BusUnavailable:
    return BusUnavailable(f"topic {error.args[0]!r} does not exist; create it with: stepwire topics apply")
