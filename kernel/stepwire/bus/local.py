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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stepwire.bus.checkpoints import Checkpoints
from stepwire.bus.log import Log
from stepwire.bus.membership import Group, LocalMembership, Split, exclusive, fenced, partition_of
from stepwire.bus.protocol import Assignment, Out, Partition, Progress, Record, TopicInfo, Transaction
from stepwire.bus.sqlite import MAX_PARTITIONS, Store, meaning
from stepwire.bus.writes import Write, fail
from stepwire.clock import Clock, SystemClock
from stepwire.errors import BusUnavailable, RecordRefused, SettingsError

POLL = 0.01  #: seconds between two looks for other processes' commits
STANDBY = 0.2  #: seconds between two tries to take over a group
TAIL = 1_024  #: young records kept in memory for each partition
TAIL_BYTES = 65_536  #: a larger record is read from the file
RETENTION = 60.0  #: seconds between two deletions of old records
PURGE = 1_000  #: finished control records that are deleted at once


class LocalBus:
    """Topics in one SQLite file.

    Args:
        path: the file, or ":memory:".
        durability: "process" survives kill -9; "power" a power cut too.
        clock: who stamps the records.
        retention: seconds after which records that every group has finished are deleted; None: never.
        split: how a group's partitions are shared by its members in this process; tests share them out.
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        durability: str = "process",
        clock: Clock | None = None,
        retention: float | None = None,
        split: Split = exclusive,
    ) -> None:
        if durability not in ("process", "power"):
            raise SettingsError(f'durability must be "process" or "power", not {durability!r}')
        self.path, self.colocated, self._power = path, split is exclusive, durability == "power"
        self.clock: Clock = clock or SystemClock()
        self._split, self._retention = split, retention
        self._groups: dict[str, Group] = {}
        self._waiting: list[Write] = []
        self._scheduled: asyncio.Handle | None = None
        self._purged: dict[Partition, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._checkpoints = Checkpoints(path)
        self.store: Store
        self.log: Log

    # -- life

    async def open(self) -> None:
        """Open or create the file. Raises BusUnavailable, BusCorrupt."""
        self.store = Store(self.path, power=self._power)
        self.log = Log(self.store)
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
        next_try, next_purge = loop.time(), loop.time() + RETENTION
        while True:
            await asyncio.sleep(POLL)
            with contextlib.suppress(BusUnavailable, sqlite3.Error):  # a locked file: the next commit says so
                if self.log.is_stale():
                    self.log.refresh()
                    self._wake(None)
                if self._retention is not None and loop.time() >= next_purge:
                    next_purge = loop.time() + RETENTION
                    await self.expire(self._retention)
                if loop.time() >= next_try:
                    next_try = loop.time() + STANDBY
                    for group in self._groups.values():
                        if group.lock is None:
                            self._acquire(group)

    # -- topics

    def partition(self, key: str, partitions: int) -> int:
        """Where a key lies among so many partitions."""
        return partition_of(key, partitions)

    async def create(self, topics: Mapping[str, int]) -> None:
        """Create the topics that are missing; those with fewer partitions grow."""
        for name, partitions in topics.items():
            if not 0 < partitions <= MAX_PARTITIONS:
                raise SettingsError(f"{name}: the local bus has 1 to {MAX_PARTITIONS} partitions, not {partitions}")
        missing = {name: n for name, n in topics.items() if self.log.topics.get(name, (0, 0))[1] < n}
        if missing:
            await self._alone(lambda: self.store.add_topics(missing))
            self.log.refresh()
            for group in self._groups.values():
                if set(missing) & set(group.topics):
                    self.rebalance(group.name)

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """Those of the topics that exist."""
        self.log.refresh()
        return {name: TopicInfo(name, self.log.topics[name][1]) for name in topics if name in self.log.topics}

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
            id_, partitions = self.log.topics[topic]
            if id_ not in known:
                starts = {(id_, part): Progress(self.store.end(id_, part)) for part in range(partitions)}
                self.store.save_progress(number, starts)

    async def unfinished(self, prefix: str) -> Mapping[str, int]:
        """Groups whose names begin so -> records behind them and entries they keep."""
        names = {id_: name for name, (id_, _) in self.log.topics.items()}
        found: dict[str, int] = {}
        for name, (number, _) in self.store.groups().items():
            if name.startswith(prefix):
                lag = sum(
                    max(0, self.log.end(Partition(names[topic], part)) - progress.watermark)
                    for (topic, part), progress in self.store.progress(number).items()
                )
                found[name] = lag + self.store.entries(number, "i/") + self.store.entries(number, "j/")
        return found

    async def remember(self, app: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """What was stored of an app's wiring before."""
        before = self.store.wiring(app)
        if table is not None and table != before:
            await self._alone(lambda: self.store.save_wiring(app, table))
        return before

    async def open_joins(self, group: str) -> int:
        """How many entries of open joins a group has stored."""
        known = self.store.groups().get(group)
        return self.store.entries(known[0], "j/") if known else 0

    async def expire(self, older_than: float) -> int:
        """Delete records older than so many seconds that every group has finished; how many partitions shrank."""
        before, shrunk = self.clock.now() - older_than, 0
        watermarks: dict[tuple[int, int], int] = {}
        for number, _ in self.store.groups().values():
            for place, progress in self.store.progress(number).items():
                watermarks[place] = min(progress.watermark, watermarks.get(place, progress.watermark))
        for (topic, part), watermark in watermarks.items():
            if end := self.store.expired(topic, part, before, watermark):
                await self._alone(lambda t=topic, p=part, e=end: self.store.delete_before(t, p, e))  # type: ignore[misc]
                shrunk += 1
        return shrunk

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
            for number in range(self.log.topics[topic][1])
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
        if self.log.is_stale():
            self.log.refresh()
        return {
            partition: self.log.end(partition)
            for topic in topics
            if topic in self.log.topics
            for partition in (Partition(topic, number) for number in range(self.log.topics[topic][1]))
        }

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Record]:
        """Records from `offset` on; does not wait."""
        return self.log.take(partition, offset, limit)

    # -- writing

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Write records outside of any group, all or none; waits up to 5 s for a locked file."""
        deadline = asyncio.get_running_loop().time() + 5.0
        while True:
            try:
                return await self._write(Write(asyncio.get_running_loop().create_future(), outputs))
            except BusUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(POLL)

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Write a group's transaction with whatever else waits."""
        future = asyncio.get_running_loop().create_future()
        await self._write(Write(future, transaction.outputs, transaction, group, generation))

    async def _write(self, waiting: Write) -> list[tuple[Partition, int]]:
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
            fail(batch, meaning(error, "begin", self.path))
            return
        step = "write"
        try:
            if self.log.is_stale():
                self.log.refresh()
                batch = [waiting for waiting in batch if self._still_owns(waiting)]
            batch = [waiting for waiting in batch if self._can_be_written(waiting)]
            written = [(waiting, self._save(waiting)) for waiting in batch]
            step = "commit"
            self.store.db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            fail(batch, meaning(error, step, self.path))
            return
        self.log.keep([record for _, records in written for record in records])
        self._wake({record.topic for _, records in written for record in records})
        for waiting, records in written:
            if not waiting.done.cancelled():
                waiting.done.set_result([(Partition(r.topic, r.partition), r.offset) for r in records])

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite has often rolled back by itself
            self.store.db.execute("ROLLBACK")
        self.log.undo()

    def _still_owns(self, waiting: Write) -> bool:
        """Does its generation still stand? Only another process's commit can have moved it."""
        group = waiting.group
        if group is None or self.store.generation(group.number) == group.generation:
            return True
        waiting.done.set_exception(fenced(group.name))
        return False

    def _can_be_written(self, waiting: Write) -> bool:
        """R11: what can never be written is refused alone, before anything of its neighbours is."""
        unknown = next((out.topic for out in waiting.outputs if out.topic not in self.log.topics), None)
        if unknown is None:
            return True
        waiting.done.set_exception(
            RecordRefused(f"topic {unknown!r} does not exist; create it with: stepwire topics apply")
        )
        return False

    def _save(self, waiting: Write) -> list[Record]:
        """Write one transaction; the records it appended."""
        transaction, group, topics = waiting.transaction, waiting.group, self.log.topics
        if transaction is not None and group is not None:
            if transaction.progress:
                rows = {(topics[p.topic][0], p.number): progress for p, progress in transaction.progress.items()}
                self.store.save_progress(group.number, rows)
            if transaction.changes:
                self.store.save_state(group.number, transaction.changes)
            self._purge(group, transaction.progress)
        placed = [
            (out, out.partition if out.partition is not None else partition_of(out.key, topics[out.topic][1]))
            for out in waiting.outputs
        ]
        return self.log.append(placed, self.clock.now())

    def _purge(self, group: Group, progress: Mapping[Partition, Progress]) -> None:
        """A control topic is nobody's history: what is finished is deleted now and then."""
        for partition, (watermark, _) in progress.items():
            if partition.topic == group.control and watermark - self._purged.get(partition, 0) >= PURGE:
                self._purged[partition] = watermark
                self.store.delete_before(self.log.topics[partition.topic][0], partition.number, watermark)

    def _wake(self, topics: set[str] | None) -> None:
        for group in self._groups.values():
            if topics is None or group.control in topics or not topics.isdisjoint(group.topics):
                for member in group.members:
                    member.notice()
