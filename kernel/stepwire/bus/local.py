"""The embedded bus: one SQLite file in WAL mode, or memory. kill -9 at any instant loses nothing committed.

In: publishes and transactions, which the loop gathers and writes as one SQLite transaction, without linger. Out:
records, from memory while they are young, else from the file. A group belongs to one process at a time: an operating
system lock, plus a generation row that every commit checks. Others stand by; any process may publish and read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from stepwire.bus.checkpoints import Checkpoints
from stepwire.bus.log import Log
from stepwire.bus.membership import Group, LocalMembership, Split, exclusive, fenced, partition_of
from stepwire.bus.protocol import Assignment, Out, Partition, Progress, Record, TopicInfo, Transaction
from stepwire.bus.sqlite import MAX_PARTITIONS, Store
from stepwire.bus.writes import Write, fail
from stepwire.clock import Clock, SystemClock
from stepwire.errors import BusError, BusUnavailable, RecordRefused, SettingsError

POLL = 0.01  #: seconds between two looks for other processes' commits
STANDBY = 0.2  #: seconds between two tries to take over a group
T = TypeVar("T")
PURGE = 1_000  #: finished control records that are deleted at once


class LocalBus:
    """Topics in one SQLite file.

    Args:
        path: the file, or ":memory:".
        durability: "process" survives kill -9; "power" a power cut too.
        clock: who stamps the records.
        split: how a group's partitions are shared by its members in this process; tests share them out.
    """

    def __init__(
        self, path: str = ":memory:", *, durability: str = "process", clock: Clock | None = None,
        split: Split = exclusive,
    ) -> None:  # fmt: skip
        if durability not in ("process", "power"):
            raise SettingsError(f'durability must be "process" or "power", not {durability!r}')
        self.path, self.colocated, self._power = path, split is exclusive, durability == "power"
        self.clock: Clock = clock or SystemClock()
        self._split = split
        self._groups: dict[str, Group] = {}
        self._waiting: list[Write] = []
        self._scheduled: asyncio.Handle | None = None
        self._purged: dict[Partition, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._checkpoints = Checkpoints(path)
        self.broken: BusError | None = None  #: why this file cannot be used any more
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
            group.release()
        self._groups.clear()
        await self._checkpoints.close()
        self.store.close()

    async def _watch(self) -> None:
        """Notice what other processes committed, and take over groups whose owner is gone.

        A damaged file ends it; then every fetch says so, and with it the worker.
        """
        loop = asyncio.get_running_loop()
        next_try = loop.time()
        while self.broken is None:
            await asyncio.sleep(POLL)
            try:
                self.catch_up()
                if loop.time() >= next_try:
                    next_try = loop.time() + STANDBY
                    for group in self._groups.values():
                        self._share_out(group)
            except (BusUnavailable, OSError):
                continue  # a locked file, a full disk: the next commit says so, and this is tried again
            except BusError as error:
                self.broken = error
                self._wake(None)

    def catch_up(self) -> bool:
        """Did another process write? Then what was known is read again, and whoever waits for records looks."""
        if not self.log.is_stale():
            return False
        self.log.refresh()
        self._wake(None)
        return True

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
            self._wake(None)
            for group in self._groups.values():
                self._share_out(group)

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """Those of the topics that exist."""
        self.catch_up()
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
                self.store.save_progress([(number, id_, n, self.store.end(id_, n), "") for n in range(partitions)])

    async def unfinished(self, prefix: str, known: Collection[str]) -> Mapping[str, tuple[int, int]]:
        """Groups whose names begin so, but those known -> records behind them and entries they keep."""
        names = {id_: name for name, (id_, _) in self.log.topics.items()}
        found: dict[str, tuple[int, int]] = {}
        for name, (number, _) in self.store.groups().items():
            if name.startswith(prefix) and name not in known:
                lag = sum(
                    max(0, self.log.end(Partition(names[topic], part)) - progress.watermark)
                    for (topic, part), progress in self.store.progress(number).items()
                )
                found[name] = lag, self.store.entries(number, "i/") + self.store.entries(number, "j/")
        return found

    async def remember(self, app: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """What was stored of an app's wiring before."""
        before = self.store.wiring(app)
        if table is not None and table != before:
            await self._alone(lambda: self.store.save_wiring(app, table))
        return before

    async def open_joins(self, group: str) -> int:
        """How many entries of open joins a group has stored; stubs of fired ones do not count."""
        known = self.store.groups().get(group)
        return self.store.entries(known[0], "j/") if known else 0

    async def delete_before(self, topic: int, partition: int, offset: int) -> None:
        """Delete the records of a topic, by its number, that lie before `offset`; waits up to 5 s for a locked file."""
        await self._alone(lambda: self.store.delete_before(topic, partition, offset))

    async def _alone(self, write: Callable[[], T]) -> T:
        """Run some rare write in a transaction of its own."""

        async def once() -> T:
            return self._at_once(write)

        return await self._patiently(once)

    @staticmethod
    async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
        """Waits up to 5 s for a locked file."""
        deadline = asyncio.get_running_loop().time() + 5.0
        while True:
            try:
                return await attempt()
            except BusUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(POLL)

    def _at_once(self, write: Callable[[], T]) -> T:
        try:
            self.store.begin()
            value = write()
            self.store.commit()
        except BaseException:
            self.store.rollback()
            raise
        return value

    # -- groups

    async def join(self, group: str, topics: Sequence[str], control: str) -> LocalMembership:
        """Take a seat in a group; it owns nothing while another process holds the group's lock."""
        seat = self._groups.get(group)
        if seat is None:
            number, _ = await self._alone(lambda: self.store.group(group))
            seat = self._groups[group] = Group(group, number, tuple(topics), control)
        member = LocalMembership(self, seat)
        seat.members.append(member)
        self._share_out(seat)
        return member

    def _share_out(self, group: Group) -> None:
        """Take the group if it is free; give its partitions out anew if members or topics are others than before.

        A locked file is no error here: it is tried again every STANDBY seconds.
        """
        if group.lock is None:
            group.acquire(self.path)
        if group.lock is not None and group.members and self._is_outdated(group):
            with contextlib.suppress(BusUnavailable):
                self.rebalance(group.name)

    def _is_outdated(self, group: Group) -> bool:
        shared = sum(len(member.assignment.partitions) for member in group.members)
        there = sum(self.log.topics[topic][1] for topic in (*group.topics, group.control))
        return shared != there or any(m.assignment.generation != group.generation for m in group.members)

    def rebalance(self, name: str) -> None:
        """Give the group's partitions out anew, under a new generation: the old one is fenced."""
        group = self._groups[name]
        group.generation = self.store.new_generation(group.number)
        partitions = [p for topic in (*group.topics, group.control) for p in self.log.partitions(topic)]
        shares = self._split(partitions, len(group.members)) if group.members else []
        for member, share in zip(group.members, shares, strict=True):
            member.assign(Assignment(group.generation, share))

    def leave(self, group: Group, member: LocalMembership) -> None:
        """Give a member's partitions back."""
        group.members.remove(member)
        if group.members:
            self._share_out(group)
        else:
            group.release()
            self._groups.pop(group.name, None)

    # -- reading

    async def ends(self, topics: Sequence[str], patience: float = 0.0) -> Mapping[Partition, int]:  # noqa: ARG002 - Bus
        """The next offset of each partition; nothing is ever half written here."""
        self.catch_up()
        known = [topic for topic in topics if topic in self.log.topics]
        return {partition: self.log.end(partition) for topic in known for partition in self.log.partitions(topic)}

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Record]:
        """Records from `offset` on; does not wait."""
        return self.log.take(partition, offset, limit)

    # -- writing

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Write records outside of any group, all or none; waits up to 5 s for a locked file."""
        return await self._patiently(lambda: self._write(Write(asyncio.get_running_loop().create_future(), outputs)))

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
        if batch:
            self._write_all(batch)

    def _write_all(self, batch: list[Write]) -> None:
        try:
            self.store.begin()
            if self.catch_up():
                batch = [waiting for waiting in batch if self._still_owns(waiting)]
            batch = [waiting for waiting in batch if self._can_be_written(waiting)]
            written = self._save(batch)
            self.store.commit()
        except BusError as error:
            self._undo()
            fail(batch, error)
        except Exception as error:  # noqa: BLE001 - a value that SQLite cannot hold: only its own write fails
            self._undo()
            if len(batch) == 1:
                fail(batch, RecordRefused(f"{self.path} cannot hold a record: {error}; send valid text"))
            else:
                for waiting in batch:
                    self._write_all([waiting])
        else:
            self._announce(written)

    def _undo(self) -> None:
        self.store.rollback()
        self.log.undo()

    def _announce(self, written: list[tuple[Write, list[Record]]]) -> None:
        self.log.keep([record for _, records in written for record in records])
        self._wake({record.topic for _, records in written for record in records})
        for waiting, records in written:
            if not waiting.done.cancelled():
                places = [(Partition(r.topic, r.partition), r.offset) for r in records] if waiting.group is None else []
                waiting.done.set_result(places)  # a group's transaction does not ask where

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
            RecordRefused(f"topic {unknown!r} does not exist; run: stepwire topics apply MODULE:app")
        )
        return False

    def _save(self, batch: list[Write]) -> list[tuple[Write, list[Record]]]:
        """Write what all of them want, each kind of row at once; the records that each appended."""
        topics, rows = self.log.topics, []
        for waiting in batch:
            transaction, group = waiting.transaction, waiting.group
            if transaction is not None and group is not None:
                for (topic, part), progress in transaction.progress.items():
                    rows.append((group.number, topics[topic][0], part, *progress))
                self.store.save_state(group.number, transaction.changes)
                self._purge(group, transaction.progress)
        self.store.save_progress(rows)
        placed = [
            (out, out.partition if out.partition is not None else partition_of(out.key, topics[out.topic][1]))
            for waiting in batch
            for out in waiting.outputs
        ]
        records = iter(self.log.append(placed, self.clock.now()))
        return [(waiting, list(islice(records, len(waiting.outputs)))) for waiting in batch]

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
