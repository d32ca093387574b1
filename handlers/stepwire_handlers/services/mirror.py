"""An app's topics on Kafka, followed into a local file: what commands and pages look at.

In: a Kafka bus and an app. Out: the same file as the local bus writes, so everything that reads runs, gates and dead
letters reads it unchanged; what is written goes to the cluster. The file can be lost, and is then built anew.

A pass reads how far the groups are, then every topic up to its end, and only then notes the progress: what is seen of
mailboxes is never older than what is seen as read. Several processes may follow into one file: each transaction begins
where the file says that the last one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepwire import App
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.reader import Reader
from stepwire.bus.kafka.records import record as own_record
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Change, Membership, Out, Partition, Progress, Record, TopicInfo
from stepwire.bus.sqlite import Store, position
from stepwire.dispatch.step import control_topic, group_name
from stepwire.errors import BusUnavailable
from stepwire.worker import topics_of

LOOK = 0.1  #: seconds between two passes
PAGE = 2_000  #: records in one transaction of the file
PATIENCE = 30.0  #: seconds for the file to show what was published here
SELF = "#mirror"  #: the group under which the file keeps how far it follows


class Mirror(LocalBus):
    """What an app has on Kafka, as a local file shows it."""

    def __init__(self, kafka: KafkaBus, app: App, folder: Path) -> None:
        name = hashlib.blake2b(
            f"{kafka.options['bootstrap_servers']}|{kafka.prefix}|{app.name}".encode(), digest_size=8
        )
        super().__init__(str(folder / f"{name.hexdigest()}.db"))
        self._kafka, self._app = kafka, app
        self._copy: Copy | None = None
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and follow up to the present end. Raises BusUnavailable, BusCorrupt."""
        await self._kafka.open()
        try:
            topics = await self._kafka.describe([*self._wanted()])
            self._copy = await Copy.begin(
                self.path, self._kafka, self._app, {n: i.partitions for n, i in topics.items()}
            )
            await super().open()
            await self._copy.catch_up()
        except BaseException:
            await self._kafka.close()
            raise
        self._following = asyncio.create_task(self._follow(self._copy))

    def _wanted(self) -> Iterator[str]:
        for topic in topics_of(self._app, self._app.settings):
            yield topic
            if topic.endswith(".control"):
                yield self._kafka.state_topic(topic)

    async def _follow(self, copy: Copy) -> None:
        while True:
            with contextlib.suppress(BusUnavailable):
                await copy.catch_up()
            await asyncio.sleep(LOOK)

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._copy is not None:
            await self._copy.close()
        await super().close()
        await self._kafka.close()

    # -- what the cluster knows better

    async def create(self, topics: Mapping[str, int]) -> None:
        """On the cluster."""
        await self._kafka.create(topics)

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """On the cluster."""
        return await self._kafka.describe(topics)

    async def found(self, groups: Mapping[str, Sequence[str]]) -> None:
        """On the cluster."""
        await self._kafka.found(groups)

    async def unfinished(self, prefix: str, known: Collection[str]) -> Mapping[str, int]:
        """On the cluster."""
        return await self._kafka.unfinished(prefix, known)

    async def remember(self, app: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """On the cluster."""
        return await self._kafka.remember(app, table)

    async def join(self, group: str, topics: Sequence[str], control: str) -> Membership:  # type: ignore[override]
        """On the cluster."""
        return await self._kafka.join(group, topics, control)

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """To the cluster; returns once the file shows it."""
        places = await self._kafka.publish(outputs)
        assert self._copy is not None
        async with asyncio.timeout(PATIENCE):
            await self._copy.shows(places)
        return places


class Copy:
    """The writer of a mirror's file."""

    def __init__(self, store: Store, kafka: KafkaBus, app: App, topics: Mapping[str, int]) -> None:
        self._store, self._kafka = store, kafka
        self._reader: Reader | None = None
        self._groups = {group_name(app.name, handler.name): handler.name for handler in app.runnable}
        self._states = {kafka.state_topic(control_topic(app.name, name)): group for group, name in self._groups.items()}
        store.begin()
        store.add_topics(topics)
        self._ids = {group: store.group(group)[0] for group in (*self._groups, SELF)}
        store.commit()
        self._numbers = {name: id_ for name, (id_, _) in store.topics().items()}
        self._pass = asyncio.Lock()

    @classmethod
    async def begin(cls, path: str, kafka: KafkaBus, app: App, topics: Mapping[str, int]) -> Copy:
        """Open the file, or build it anew if it follows topics that were deleted since."""
        ends = await kafka.ends([*topics])
        copy = cls(Store(path), kafka, app, topics)
        if any(offset > ends.get(place, 0) for place, offset in copy.positions().items()):
            await copy.close()
            for suffix in ("", "-wal", "-shm"):
                Path(path + suffix).unlink(missing_ok=True)
            copy = cls(Store(path), kafka, app, topics)
        positions = {kafka.cluster_place(place): offset for place, offset in copy.positions().items()}
        await copy._read(kafka.reader([*map(kafka.cluster_place, ends)], positions))
        return copy

    async def _read(self, reader: Reader) -> None:
        self._reader = await reader.__aenter__()

    def positions(self) -> dict[Partition, int]:
        """How far the file follows."""
        names = {id_: name for name, id_ in self._numbers.items()}
        stored = self._store.progress(self._ids[SELF])
        return {Partition(names[topic], number): value.watermark for (topic, number), value in stored.items()}

    async def catch_up(self) -> None:
        """One pass: everything that is committed now. Raises BusUnavailable."""
        async with self._pass:
            progress = {group: await self._kafka.progress(group) for group in self._groups}
            assert self._reader is not None
            async for page, positions in self._reader.to_the_end(PAGE):
                records = [own_record(one, self._kafka.own_name(one.topic)) for one in page]
                if self._kafka.formats is not None:
                    records = [*await self._kafka.formats.read(records)]
                await self._write(lambda r=records, p=positions: self._apply(r, p))
            await self._write(lambda: self._note(progress))

    async def shows(self, places: Sequence[tuple[Partition, int]]) -> None:
        """Return once the file holds these records."""
        while any(self.positions().get(place, 0) <= offset for place, offset in places):
            await self.catch_up()

    async def close(self) -> None:
        """Stop reading, close the file."""
        if self._reader is not None:
            await self._reader.__aexit__(None, None, None)
        self._store.close()

    async def _write(self, write: Any) -> None:
        """In a transaction; waits for another process that writes to the same file."""
        while True:
            try:
                self._store.begin()
                break
            except BusUnavailable:
                await asyncio.sleep(0.01)
        try:
            write()
            self._store.commit()
        except BaseException:
            self._store.rollback()
            self._store.forget_runs()
            raise

    def _apply(self, records: Sequence[Record], positions: Mapping[Partition, int]) -> None:
        known = self.positions()
        rows, changes = [], dict[str, list[Change]]()
        for record in records:
            if record.offset < known.get(Partition(record.topic, record.partition), 0):
                continue  # another process was faster
            if (group := self._states.get(record.topic)) is not None:
                changes.setdefault(group, []).append(Change(record.partition, record.key or "", record.value or None))
            else:
                place = position(self._numbers[record.topic], record.partition, record.offset)
                rows.append((place, record.time, Out(record.topic, record.key, record.headers, record.value)))
        self._store.append(rows)
        for group, some in changes.items():
            self._store.save_state(self._ids[group], some)
        mine = [
            (self._ids[SELF], self._numbers[place.topic], place.number, max(offset, known.get(place, 0)), "")
            for where, offset in positions.items()
            for place in (Partition(self._kafka.own_name(where.topic), where.number),)
        ]
        self._store.save_progress(mine)

    def _note(self, progress: Mapping[str, Mapping[Partition, Progress]]) -> None:
        self._store.save_progress([
            (self._ids[group], self._numbers[place.topic], place.number, *value)
            for group, places in progress.items()
            for place, value in places.items()
            if place.topic in self._numbers
        ])  # fmt: skip
