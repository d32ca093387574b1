"""A worker's seat in a consumer group on Kafka: what it owns, what it reads from there, what it commits.

In: aiokafka's group consumer for membership and records; a producer for the transactions. Out: the `Membership` of the
bus contract.

A rebalance stops nothing here: records come, calls and commits go on under the old generation while the coordinator
takes them, and are fenced afterwards. Which partitions may be kept is decided by the kernel from what is stored (R12),
so the callbacks of a rebalance only note the new assignment. Offsets are never read by aiokafka for us: its requests
do not wait for open transactions. Every partition is sought to where the kernel says.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError
from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from stepwire.bus.kafka import wire
from stepwire.bus.kafka.connection import CLOSING, closed, stopped, told, undivided
from stepwire.bus.kafka.groups import committed
from stepwire.bus.kafka.producer import Message, Producer
from stepwire.bus.kafka.reader import EARLIEST, LATEST, UNCOMMITTED, latest, offsets
from stepwire.bus.kafka.records import record
from stepwire.bus.protocol import Assignment, Formats, Partition, Progress, Record, Transaction
from stepwire.errors import BusError, BusUnavailable, Fenced, RecordsLost

if TYPE_CHECKING:
    from stepwire.bus.kafka.bus import KafkaBus

WAIT = 0.25  #: seconds that one fetch waits; a worker that stops is noticed after that
PURGE = 10_000  #: finished control records that are deleted at once
AWAY = 1.0  #: seconds before records are read again that need a schema registry which does not answer
LOOK = 5.0  #: seconds between two looks at aiokafka's tasks while nothing is wanted


class KafkaMembership(ConsumerRebalanceListener):
    """A seat in a group."""

    def __init__(self, bus: KafkaBus, group: str, topics: Sequence[str], control: str) -> None:
        self._bus, self.group, self._topics, self._control = bus, group, tuple(topics), control
        self._mail, self._state = bus.cluster_name(control), bus.cluster_name(bus.state_topic(control))
        self._purged: dict[Partition, int] = {}
        self._assignment = Assignment(0, frozenset())
        self._seat = wire.Member("", -1, "")  #: as the coordinator knew us when it gave us this assignment
        self._news = asyncio.Event()
        self._delivered: dict[Partition, int] = {}  #: the offset after the last record that was handed out
        self._passed: dict[Partition, int] = {}  #: where reading goes on: gaps behind that record are behind us
        self._turn: list[TopicPartition] = []  #: what the last fetch read first
        self._writing: asyncio.Task[Any] | None = None
        self._seating: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()  #: one transaction at a time
        self._last: dict[Partition, Progress] = {}  #: what is surely stored, under the names of the cluster
        self._stable = asyncio.Event()  #: unset between giving partitions up and having new ones
        self.handed_over: Callable[[str], str] = str
        self._consumer: AIOKafkaConsumer | None = None
        self._connection = bus.connection()
        self._producer = Producer(
            self._connection, f"{bus.cluster_name(group)}-{uuid.uuid4().hex[:12]}", codec=bus.codec
        )

    # -- life

    async def open(self) -> None:
        """Take the seat. Raises BusUnavailable."""
        try:
            await self._connection.open()
            await self._sit_down()
        except BaseException:
            await self._connection.close()
            raise

    async def _sit_down(self) -> None:
        await self._stand_up()
        bus = self._bus
        # aiokafka's sticky assignor keeps what it knows in its class, so groups of one process would mix it up
        sticky = type("Sticky", (StickyPartitionAssignor,), {})
        self._consumer = AIOKafkaConsumer(
            **bus.options, client_id=bus.client_id, group_id=bus.cluster_name(self.group), enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="none", partition_assignment_strategy=[sticky],
            session_timeout_ms=int(bus.session * 1000), heartbeat_interval_ms=int(min(3.0, bus.session / 4) * 1000),
            rebalance_timeout_ms=int(bus.session * 1000), max_poll_interval_ms=2**31 - 1, metadata_max_age_ms=30_000,
            fetch_max_wait_ms=500, max_partition_fetch_bytes=4 << 20, max_poll_records=10_000,
        )  # fmt: skip
        names = [bus.cluster_name(topic) for topic in (*self._topics, self._control)]
        self._consumer.subscribe(names, listener=self)
        try:
            await undivided(self._consumer.start())
        except BaseException as error:
            await self._stand_up()
            if isinstance(error, (KafkaError, OSError)):
                raise BusUnavailable(f"{self.group} cannot join its group: {told(error)}") from error
            raise

    async def _stand_up(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stopped(consumer)
            # aiokafka's own goodbye waits behind its JoinGroup, which may last as long as a killed member's session
            if (gone := consumer._coordinator) is not None and gone.member_id:  # noqa: SLF001
                goodbye = LeaveGroupRequest(gone.group_id, gone.member_id)
                with contextlib.suppress(BusError):
                    await self._connection.ask_coordinator(CoordinationType.GROUP, gone.group_id, goodbye)

    async def leave(self) -> None:
        """Give the partitions back at once; waits for a commit that is under way."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=CLOSING)
        if self._seating is not None:
            await closed(self._seating)
        await self._stand_up()
        await self._connection.close()
        self._bus.left(self)

    # -- what it owns

    @property
    def assignment(self) -> Assignment:
        """What it owns now."""
        return self._assignment

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002 - aiokafka's signature
        """A rebalance begins: say in what is stored that we live (R12), from now on with every commit.

        JoinGroup waits for this, so the coordinator still takes it, unless we were expelled. Only what is surely stored
        is written again: after an unknown outcome the file on the cluster may be ahead of us.
        """
        # The group waits for each of its members, for one that was killed until its session is over. aiokafka would
        # hand out nothing meanwhile, but these partitions are ours until somebody is told that they are not. First of
        # all: a fetch that began before this would wait for the new assignment, and nothing else wakes it.
        consumer: Any = self._consumer
        if consumer is not None and consumer._coordinator.generation >= 0:  # noqa: SLF001 - else we were expelled
            consumer._subscription.subscription._reassignment_in_progress = False  # noqa: SLF001
        self._stable.clear()
        self._writing = asyncio.create_task(self._hand_over(self._seat))
        await asyncio.wait([self._writing], timeout=CLOSING)

    async def _hand_over(self, seat: wire.Member) -> None:
        # What is stored is looked up once nothing is being written any more: a commit that has begun before us writes
        # newer progress, and writing the older one after it would bring its records back. If that took so long that
        # there is a new seat by now, others may have gone on from what is stored: nothing of ours is written again.
        async with self._lock:
            handed = self._handed(self._last) if seat is self._seat else {}
            with contextlib.suppress(BusError):  # fenced, or no broker: then a takeover is counted that was none
                if handed:
                    self._last = {}
                    await self._producer.write([], handed, seat)
                    self._last = handed if seat is self._seat else {}

    def _handed(self, progress: Mapping[Partition, Progress]) -> dict[Partition, Progress]:
        return {place: Progress(offset, self.handed_over(map_)) for place, (offset, map_) in progress.items()}

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """A new generation: the kernel looks at what it may keep."""
        assert self._consumer is not None
        # A commit must carry the generation that its results were computed in. aiokafka's own number runs ahead: it is
        # the next one from the answer to JoinGroup on, while the kernel still works under this assignment.
        coordinator = self._consumer._coordinator  # noqa: SLF001 - there is no public way to the generation
        group = self._bus.cluster_name(self.group)
        self._seat = wire.Member(group, coordinator.generation, coordinator.member_id)
        mine = frozenset(Partition(self._bus.own_name(place.topic), place.partition) for place in assigned)
        self._last = {}  # it is stored, as handed over; from now on others may go on from there
        self._assignment = Assignment(self._assignment.generation + 1, mine)
        self._delivered, self._passed = {}, {}
        self._stable.set()
        self._news.set()

    async def _check(self) -> bool:
        """Take the seat anew, under a new generation, if aiokafka gave it up: it says so to nobody, or once."""
        if self._seating is None or self._seating.done():
            if not _given_up(self._consumer):
                return False
            self._seating = asyncio.create_task(self._sit_down())
            self._seating.add_done_callback(_heard)
        await asyncio.shield(self._seating)  # of a fetch that is cut off nobody gives the seat back: it would not end
        return True

    # -- reading

    def notice(self) -> None:
        """There may be room, or nothing more to do: a waiting fetch returns."""
        self._news.set()

    async def fetch(self, positions: Mapping[Partition, int], limit: int) -> Sequence[Record]:
        """At most `limit` records; waits for one, or for a change."""
        await self._check()
        generation = self._assignment.generation
        if not positions or limit <= 0 or self._news.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):  # not wait_for: Python 3.11's can lose a cancellation
                    await self._news.wait()
            self._news.clear()
            return ()
        consumer: Any = self._consumer  # this one, even if the seat is given back meanwhile
        places = {partition: self._bus.place(partition) for partition in positions}
        try:
            self._seek(positions, places)
            # aiokafka hands out all it has of one partition before the next one's: a replay would wait for megabytes
            self._turn = [place for place in places.values() if place.topic == self._mail] if not self._turn else []
            got = await consumer.getmany(*self._turn, max_records=limit) if self._turn else {}
            got = got or await consumer.getmany(*places.values(), timeout_ms=int(WAIT * 1000), max_records=limit)
            if generation != self._assignment.generation:
                return ()
            return await self._handed_out(positions, places, got)
        except asyncio.CancelledError:  # aiokafka may have moved on past records that nobody was given: seek
            self._delivered, self._passed = {}, {}
            for waiter in consumer._fetcher._fetch_waiters:  # noqa: SLF001 - ours is left there, for an error
                waiter.cancel()  # that asyncio would then report as heard by nobody
            raise
        except IllegalStateError:  # unassigned this very moment: the new assignment is on its way, if it is let
            return await asyncio.sleep(0, ())
        except OffsetOutOfRangeError as error:
            raise await self._lost(error.args[0]) from error
        except KafkaError as error:
            if await self._check():
                return ()
            raise BusUnavailable(f"{self.group} cannot read: {told(error)}") from error

    def _seek(self, positions: Mapping[Partition, int], places: Mapping[Partition, TopicPartition]) -> None:
        assert self._consumer is not None
        for partition, offset in positions.items():
            if not self._delivered.get(partition, -1) <= offset <= self._passed.get(partition, -1):
                self._consumer.seek(places[partition], offset)
                self._delivered[partition] = self._passed[partition] = offset

    async def _handed_out(
        self, positions: Mapping[Partition, int], places: Mapping[Partition, TopicPartition], got: Mapping[Any, Any]
    ) -> Sequence[Record]:
        assert self._consumer is not None
        records: list[Record] = []
        generation = self._assignment.generation
        for partition in positions:
            found = got.get(places[partition], ())
            passed = await self._consumer.position(places[partition])
            if generation != self._assignment.generation:
                return []  # waiting for a position, it was assigned anew
            records += [record(one, partition.topic) for one in found if one.offset >= positions[partition]]
            if found:
                self._delivered[partition] = found[-1].offset + 1
            self._passed[partition] = passed
        return records if self._bus.formats is None else await self._readable(records, self._bus.formats)

    async def _readable(self, records: list[Record], formats: Formats) -> Sequence[Record]:
        """The values as JSON; while the registry is away these records wait, and are fetched again."""
        generation = self._assignment.generation
        handed_out = self._delivered, self._passed
        self._delivered, self._passed = {}, {}  # whoever is cut off here reads them again
        try:
            readable = await formats.read(records)
        except BusUnavailable:
            await asyncio.sleep(AWAY)
            return ()
        if generation != self._assignment.generation:
            return ()
        self._delivered, self._passed = handed_out
        return readable

    def passed(self, partition: Partition) -> int:
        """Where reading goes on after what was handed out: past markers and compacted records."""
        return self._passed.get(partition, 0)

    async def _lost(self, gone: Mapping[TopicPartition, int]) -> BusError:
        places = {Partition(*place): offset for place, offset in gone.items()}
        first = await offsets(self._connection, [*places], EARLIEST)
        end = await offsets(self._connection, [*places], LATEST, UNCOMMITTED)
        where = ", ".join(f"{p.topic}[{p.number}]@{at}, there is {first[p]} and on" for p, at in places.items())
        if all(first[place] <= at <= end[place] for place, at in places.items()):
            return BusUnavailable(f"{self.group}: {where}: asked was a broker that lags behind; it is asked again")
        if any(first[place] <= at for place, at in places.items()):
            return BusError(
                f"{self.group}: {where}: the topic is shorter than what was read of it; it was made anew, or lost "
                f"records on a broker that was not in sync. Say where the group goes on: kafka-consumer-groups.sh "
                f"--reset-offsets"
            )
        gaps = {(self._bus.own_name(p.topic), p.number): (at, first[p]) for p, at in places.items()}
        return RecordsLost(
            f"{self.group}: unfinished records are gone: {where}: the topic's retention passed them. Start with "
            f"--accept-loss to go on without them; raise retention.ms",
            gaps,
        )

    # -- writing

    async def commit(self, transaction: Transaction, generation: int) -> None:
        """Write all of it or nothing, under the generation that it was computed in."""
        await self._written()
        if generation != self._assignment.generation or _given_up(self._consumer):
            raise Fenced(f"{self.group} was assigned anew")
        seat = self._seat  # taken before anything is awaited: it must be the seat of this very generation
        messages = [*await self._bus.messages(transaction.outputs, self._connection), *self._changes(transaction)]
        progress = {self._bus.cluster_place(place): value for place, value in transaction.progress.items()}
        self._writing = asyncio.create_task(self._write(messages, progress, seat))
        self._writing.add_done_callback(_heard)
        await asyncio.shield(self._writing)  # a cancelled caller does not take its write back

    async def _write(self, messages: list[Message], progress: Mapping[Partition, Progress], seat: wire.Member) -> None:
        async with self._lock:
            for place in progress:
                self._last.pop(place, None)
            progress = progress if self._stable.is_set() else self._handed(progress)
            try:
                await self._producer.write(messages, progress, seat)
            except Fenced:  # whether that is news to aiokafka or not: the coordinator is asked what is ours now
                consumer: Any = self._consumer
                if seat is self._seat and self._stable.is_set() and not _given_up(consumer):
                    consumer._coordinator.request_rejoin()  # noqa: SLF001
                raise
            if seat is self._seat:
                self._last.update(progress)
        for place, (watermark, _) in progress.items():
            if place.topic == self._mail and watermark - self._purged.get(place, 0) >= PURGE:
                self._purged[place] = watermark
                request = DeleteRecordsRequest([(place.topic, [(place.number, watermark)])], int(CLOSING * 1000))
                # a control topic is nobody's history; without the right to delete it just grows
                await self._connection.ask(self._connection.leader(place), request)

    async def _written(self) -> None:
        """A commit whose caller was cancelled goes on; only after it is over does what is stored stand still."""
        if self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])

    def _changes(self, transaction: Transaction) -> list[Message]:
        return [
            Message(
                Partition(self._state, change.partition), change.key.encode(errors="surrogateescape"), [], change.value
            )
            for change in transaction.changes
        ]

    # -- what is stored

    async def progress(self, partitions: Sequence[Partition]) -> Mapping[Partition, Progress]:
        """What was committed for each, once no open transaction can change it."""
        await self._written()
        bus = self._bus
        wanted = {bus.cluster_place(partition): partition for partition in partitions}
        found = await committed(self._connection, bus.cluster_name(self.group), list(wanted))
        return {wanted[place]: value for place, value in found.items()}

    async def scan(self, partition: int) -> AsyncIterator[tuple[str, bytes]]:
        """Every key and value of one control partition."""
        for row in (await latest(self._connection, [Partition(self._state, partition)])).items():
            yield row


def _heard(task: asyncio.Task[Any]) -> None:
    """Whoever waited for it may be gone; its error is no news to anybody else."""
    if not task.cancelled():
        task.exception()


def _given_up(consumer: AIOKafkaConsumer | None) -> bool:
    """Did an error that aiokafka does not expect end one of its tasks? Those that may end in order have none then."""
    if consumer is None or consumer._coordinator is None:  # noqa: SLF001 - that one is being started
        return True
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001
    lasting = (coordinator._coordination_task, fetcher._fetch_task)  # noqa: SLF001
    passing = (coordinator._heartbeat_task, coordinator._commit_refresh_task)  # noqa: SLF001
    failed = any(task and task.done() and not task.cancelled() and task.exception() for task in passing)
    return failed or any(task.done() for task in lasting) or coordinator._pending_exception is not None  # noqa: SLF001
