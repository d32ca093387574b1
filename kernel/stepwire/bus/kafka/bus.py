"""Kafka as a bus: topics and publishing; groups are in `membership`, transactions in `producer`.

In: how the cluster is reached, a prefix for all names. Out: the bus contract. Promises on top of it: no record is
written outside of a transaction, and no start-up goes on against a broker that cannot fence (never silently at least
once).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from stepwire.bus.kafka import groups as kafka_groups
from stepwire.bus.kafka import topics as kafka_topics
from stepwire.bus.kafka import wire
from stepwire.bus.kafka.connection import NO_TOPIC_RIGHT, Connection, Why, meaning
from stepwire.bus.kafka.membership import KafkaMembership
from stepwire.bus.kafka.producer import Message, Producer
from stepwire.bus.kafka.reader import PATIENCE, Reader, latest, settled_ends
from stepwire.bus.kafka.records import message, partition_of, record
from stepwire.bus.kafka.wiring_topic import OWED, WiringTopic
from stepwire.bus.protocol import Formats, Out, Partition, Progress, Record, TopicInfo
from stepwire.errors import BusUnavailable, Fenced, RecordRefused, SettingsError, StepwireError


class KafkaBus:
    """Topics in a Kafka cluster.

    Args:
        servers: bootstrap servers, `host:port,host:port`.
        options: how aiokafka's client authenticates and encrypts; its own names.
        prefix: of every topic, group and transactional id: an environment's.
        session: seconds that a silent member keeps its partitions.
        create_topics: create what is missing instead of refusing to start: for development and tests.
        formats: of topics whose values are not JSON.
        compression: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd, as Kafka numbers them.
        why: tells a person why no broker can be reached.
    """

    colocated = False

    def __init__(
        self, servers: str, *, options: Mapping[str, Any] | None = None, prefix: str = "", session: float = 45.0,
        create_topics: bool = False, replication: int = -1, compression: int = 0, formats: Formats | None = None,
        why: Why | None = None,
    ) -> None:  # fmt: skip
        self.options: dict[str, Any] = {**(options or {}), "bootstrap_servers": servers}
        self.prefix, self.session, self.codec, self.formats = prefix, session, compression, formats
        self.client_id = f"stepwire-{socket.gethostname()}-{os.getpid()}"
        self.creates_topics, self._replication = create_topics, replication
        self._members: list[KafkaMembership] = []
        self._waiting: list[tuple[Sequence[Out], asyncio.Future[list[tuple[Partition, int]]]]] = []
        self._publishing: asyncio.Task[None] | None = None
        self._why = why
        self._connection = self.connection()
        self._producer = Producer(self._connection, f"{prefix}publish-{uuid.uuid4().hex[:12]}", codec=compression)

    # -- names

    def cluster_name(self, name: str) -> str:
        """A topic's or group's name on the cluster."""
        return self.prefix + name

    def own_name(self, name: str) -> str:
        """The name as the app knows it."""
        return name.removeprefix(self.prefix)

    def cluster_place(self, partition: Partition) -> Partition:
        """A partition under its name on the cluster."""
        return Partition(self.prefix + partition.topic, partition.number)

    def place(self, partition: Partition) -> TopicPartition:
        """The same, in aiokafka's words."""
        return TopicPartition(self.prefix + partition.topic, partition.number)

    def connection(self) -> Connection:
        """Another one to the same cluster, not open yet."""
        return Connection(self.options, self.client_id, self._why or self._unexplained)

    async def _unexplained(self) -> str:
        return f"nothing answers at {self.options['bootstrap_servers']}; is it up, is the address right?"

    # -- life

    async def open(self) -> None:
        """Connect, and refuse a broker that lacks what exactly-once needs. Raises BusUnavailable, SettingsError."""
        await self._connection.open()
        versions = await kafka_topics.versions(self._connection)
        missing = [
            name for name, request in wire.NEEDED.items()
            if not (span := versions.get(request.API_KEY)) or not span[0] <= int(name[-1]) <= span[1]
        ]  # fmt: skip
        if missing:
            raise SettingsError(
                f"this broker does not know {', '.join(missing)}; exactly-once needs Apache Kafka 2.5 or newer"
            )

    async def close(self) -> None:
        """Give everything back; bounded in time."""
        for member in list(self._members):
            await member.leave()
        if self._publishing is not None:
            await asyncio.wait([self._publishing], timeout=5.0)
        await self._connection.close()

    def partition(self, key: str, partitions: int) -> int:
        """Where a key lies among so many partitions."""
        return partition_of(key, partitions) if partitions > 1 else 0

    # -- topics

    async def create(self, topics: Mapping[str, int]) -> None:
        """Make sure that the topics are there. Raises SettingsError with the command that makes them."""
        plan = kafka_topics.plan(topics)
        found = await self.describe([*plan])
        for name in topics:
            state = found.get(self.state_topic(name)) if name.endswith(".control") and name in found else None
            if state is not None and state.partitions != found[name].partitions:
                raise SettingsError(
                    f"{self.cluster_name(name)} has {found[name].partitions} partitions and its state "
                    f"{state.partitions}: one was changed after it was made, so what is kept would not be found. "
                    f"Restore the number that both were made with"
                )
        missing = {name: spec for name, spec in plan.items() if name not in found}
        specs = {self.cluster_name(name): spec for name, spec in missing.items()}
        if missing and not self.creates_topics:
            await self._must_see(missing, SettingsError)
            raise SettingsError(
                f"{len(specs)} topics are missing, first {min(specs)}; run: stepwire topics apply MODULE:app"
            )
        if missing:
            await kafka_topics.create(self._connection, specs, self._replication)

    async def _must_see(self, topics: Collection[str], refused: type[StepwireError]) -> None:
        """Raise if some of these seem to be missing only because this user may not see them."""
        if hidden := await kafka_topics.hidden(self._connection, [self.cluster_name(topic) for topic in topics]):
            raise refused(f"{len(hidden)} topics may not be seen, first {hidden[0]}: {meaning(NO_TOPIC_RIGHT)}")

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """Those of the topics that exist."""
        counts = await kafka_topics.counts(self._connection, [self.cluster_name(topic) for topic in topics])
        return {self.own_name(name): TopicInfo(self.own_name(name), count) for name, count in counts.items()}

    async def ends(self, topics: Sequence[str], patience: float = 0.0) -> Mapping[Partition, int]:
        """The next offset of each partition as far as records are committed; open transactions may be waited for."""
        infos = await self.describe(topics)
        places = [Partition(self.cluster_name(name), n) for name, info in infos.items() for n in range(info.partitions)]
        found = await settled_ends(self._connection, places, patience) if places else {}
        return {Partition(self.own_name(place.topic), place.number): offset for place, offset in found.items()}

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Record]:
        """Records from `offset` on; waits for open transactions only."""
        place, found = self.cluster_place(partition), list[Record]()
        async with (
            Reader(self._connection, [place], {place: offset}) as reader,
            contextlib.aclosing(reader.to_the_end(limit)) as pages,
        ):
            async for page, _ in pages:
                found += [record(one, partition.topic) for one in page]
                if len(found) >= limit:
                    break
        return found[:limit] if self.formats is None else await self.formats.read(found[:limit])

    # -- groups

    async def found(self, groups: Mapping[str, Sequence[str]]) -> None:
        """R15: a group that never read a topic starts at its present end. Raises SettingsError if it did once."""
        apps = {group: WiringTopic(self, group.rpartition(".")[0]) for group in groups}
        born = await next(iter(apps.values())).born() if apps else set()
        for group, topics in groups.items():
            known = {place.topic for place in await self.progress(group)}
            fresh = [topic for topic in topics if topic not in known]
            if forgotten := [topic for topic in fresh if (group, topic) in born]:
                raise SettingsError(
                    f"{group} has read {forgotten[0]} before, and Kafka has forgotten how far: it was stopped for "
                    f"longer than offsets.retention.minutes, or the topic was made anew. Say where it goes on: "
                    f"kafka-consumer-groups.sh --group {self.cluster_name(group)} "
                    f"--topic {self.cluster_name(forgotten[0])} --reset-offsets --execute, "
                    f"with --to-datetime, --to-earliest or --to-latest"
                )
            if fresh:
                await self._begin(group, fresh)
            await apps[group].bear({(group, topic) for topic in topics} - born)

    async def _begin(self, group: str, topics: Sequence[str]) -> None:
        ends = await self.ends(topics, PATIENCE)
        if unknown := {*topics} - {place.topic for place in ends}:
            raise BusUnavailable(f"topic {self.cluster_name(min(unknown))} is not known to every broker yet; try again")
        progress = {self.cluster_place(place): Progress(end) for place, end in ends.items()}
        try:
            await kafka_groups.commit(self._connection, self.cluster_name(group), progress, patience=30.0)
        except Fenced:
            await self._founded_by_another(group, progress)

    async def _founded_by_another(self, group: str, progress: Mapping[Partition, Progress]) -> None:
        """Another worker that starts at the same time was faster; it stores the same within moments."""
        for _ in range(50):
            known = await kafka_groups.committed(self._connection, self.cluster_name(group), list(progress))
            if known:
                return
            await asyncio.sleep(0.2)
        raise BusUnavailable(
            f"{group} has members, and nobody stored where it starts; stop them, then run topics apply"
        )

    async def unfinished(self, prefix: str, known: Collection[str]) -> Mapping[str, tuple[int, int]]:
        """Groups whose names begin so, but those known -> records behind them and entries they keep."""
        found: dict[str, tuple[int, int]] = {}
        for name in await kafka_topics.groups(self._connection):
            group = self.own_name(name)
            if name.startswith(self.prefix) and group.startswith(prefix) and group not in known:
                found[group] = await self._behind(group), await self._entries(group, ("i/", "j/"))
        return found

    async def _behind(self, group: str) -> int:
        stored = await self.progress(group)
        ends = await self.ends([*{place.topic for place in stored}])
        return sum(max(0, end - stored[place].watermark) for place, end in ends.items() if place in stored)

    async def _entries(self, group: str, prefixes: tuple[str, ...]) -> int:
        topic = self.cluster_name(f"{group}.state")
        count = (await kafka_topics.counts(self._connection, [topic])).get(topic, 0)
        state = await latest(self._connection, [Partition(topic, number) for number in range(count)])
        fired = {key.split("/")[1] for key in state if key.endswith("/#stub")}  # these wait for nothing any more
        return sum(key.startswith(prefixes) and key.split("/")[1] not in fired for key in state)

    async def open_joins(self, group: str) -> int:
        """How many entries of open joins a group has stored; stubs of fired ones do not count."""
        return await self._entries(group, ("j/",))

    async def remember(self, app: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """What was stored of an app's wiring before, or under that name below it."""
        app, _, name = app.partition("/")
        return await WiringTopic(self, app).table(name or OWED, table)

    async def join(self, group: str, topics: Sequence[str], control: str) -> KafkaMembership:
        """Take a seat in a group."""
        member = KafkaMembership(self, group, topics, control)
        await member.open()
        self._members.append(member)
        return member

    def left(self, member: KafkaMembership) -> None:
        """Called by a member that gave its seat back."""
        if member in self._members:
            self._members.remove(member)

    @staticmethod
    def state_topic(control: str) -> str:
        """Where the state that belongs to a control topic is kept."""
        return kafka_topics.state_topic(control)

    async def progress(self, group: str) -> dict[Partition, Progress]:
        """How far a group is in everything that it ever read."""
        stored = await kafka_groups.committed(self._connection, self.cluster_name(group), None)
        return {Partition(self.own_name(place.topic), place.number): value for place, value in stored.items()}

    def reader(self, partitions: Sequence[Partition], positions: Mapping[Partition, int]) -> Reader:
        """For whoever keeps a copy; everything under its name on the cluster."""
        return Reader(self._connection, partitions, positions)

    # -- publishing

    async def messages(self, outputs: Sequence[Out], connection: Connection) -> list[Message]:
        """Records of ours as they go over the wire. Raises RecordRefused for a topic that is not there.

        `connection` is the one that will write them: what it learnt of topics when it wrote before counts here.
        """
        if self.formats is not None:
            outputs = await self.formats.write(outputs)
        names = {out.topic: self.cluster_name(out.topic) for out in outputs}
        await connection.know(names.values())
        counts = {topic: connection.partitions(name) for topic, name in names.items()}
        if unknown := [topic for topic, count in counts.items() if not count]:
            await self._must_see(unknown, BusUnavailable)  # a right that was taken is given back: no reason to give up
            if len(await self.describe(unknown)) < len(unknown):
                raise RecordRefused(f"topic {names[unknown[0]]} does not exist; run: stepwire topics apply MODULE:app")
            raise BusUnavailable(f"topic {names[unknown[0]]} is not known to every broker yet")
        found: list[Message] = []
        for out in outputs:
            number = self.partition(out.key or "", counts[out.topic]) if out.partition is None else out.partition
            try:
                found.append(message(out, names[out.topic], number))
            except UnicodeEncodeError as error:  # half of a surrogate pair
                raise RecordRefused(f"{names[out.topic]} cannot hold a record: {error}; send valid text") from error
        return found

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Write records outside of any group, all or none; where each went. Raises BusUnavailable, OutcomeUnknown."""
        done: asyncio.Future[list[tuple[Partition, int]]] = asyncio.get_running_loop().create_future()
        self._waiting.append((outputs, done))
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish_all())
        placed = await asyncio.shield(done)
        return [(Partition(self.own_name(place.topic), place.number), offset) for place, offset in placed]

    async def _publish_all(self) -> None:
        """One transaction for all that waits; those that come meanwhile are the next one."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                records = await self.messages([out for outputs, _ in batch for out in outputs], self._connection)
                placed = await self._producer.write(records, {}, None)
            except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
                await self._one_by_one(batch, error)
                continue
            for outputs, done in batch:
                mine, placed = placed[: len(outputs)], placed[len(outputs) :]
                if not done.done():
                    done.set_result(mine)

    async def _one_by_one(
        self, batch: Sequence[tuple[Sequence[Out], asyncio.Future[list[tuple[Partition, int]]]]], error: BaseException
    ) -> None:
        """A record that cannot be written fails its own publish only."""
        for outputs, done in batch:
            if done.done():
                continue
            if len(batch) == 1 or not isinstance(error, RecordRefused):
                done.set_exception(error)
                continue
            try:
                done.set_result(await self._producer.write(await self.messages(outputs, self._connection), {}, None))
            except BaseException as own:  # noqa: BLE001 - as above
                done.set_exception(own)
