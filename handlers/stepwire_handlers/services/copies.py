"""The file that a mirror keeps: an app's topics on Kafka, copied pass by pass.

In: a Kafka bus, an app, a path. Out: the rows that a local bus would hold. A pass that fails, or is cut off anywhere,
is as if what it had not written was never read: the next one begins where the file says.

A pass reads how far the groups are, then every topic up to its end; mailboxes and progress it writes last, and in one
transaction. What is seen of mailboxes is never older than what is seen as read, and never newer than the events: what
left a mailbox left it together with events, so these are read once more before the mailbox changes. The same holds of
what `<app>.runs` tells to be over: else a run would be seen completed before its last event. Several processes
may follow into one file: each transaction begins where the file says that the last one ended. What the cluster deleted
is deleted here too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from typing import Any, NamedTuple

from stepwire import App
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.reader import Reader
from stepwire.bus.kafka.records import record as own_record
from stepwire.bus.protocol import Change, Out, Partition, Progress, Record
from stepwire.bus.sqlite import Store, position
from stepwire.dispatch.step import control_topic, group_name, runs_topic
from stepwire.errors import BusUnavailable
from stepwire_handlers.services.copy_file import CopyFile
from stepwire_handlers.services.foreign import RUN, Foreign
from stepwire_handlers.services.snapshot import COPY

PAGE = 2_000  #: records in one transaction of the file
#: changes of mailboxes that wait for their events, and their bytes: a gather of 10,000 makes twice as many and some.
#: Where there are more, the file is far behind anyway
HELD, HELD_BYTES = 50_000, 64 << 20
BUSY = 2.0  #: seconds after a record in which every pass asks the groups; they hardly move when no record does
IDLE = 1.0  #: seconds between two such questions at other times
TRIM = 60.0  #: seconds between two looks at what the cluster deleted
SILENT = 30.0  #: seconds without a record that is known to be there: the connection is given up
HUNG = 75.0  #: seconds without any answer, more than a reader itself waits for brokers: the connection is given up
LOCKED = 30.0  #: seconds to wait for another process that writes to the file
Pages = AsyncGenerator[tuple[list[Any], dict[Partition, int]]]


def _text(out: Out) -> Out:
    """The same, whose key and run a file can hold: bytes that are no UTF-8 are question marks there."""
    run = out.headers.get(RUN, "")
    if run.isascii() and (out.key is None or out.key.isascii()):
        return out
    headers = {**out.headers, RUN: _plain(run)} if run else out.headers
    return out._replace(key=None if out.key is None else _plain(out.key), headers=headers)


def _plain(text: str) -> str:
    return text.encode(errors="replace").decode()


class Page(NamedTuple):
    """Records under their own names, and how far they go in partitions under the cluster's names."""

    records: Sequence[Record]
    positions: Mapping[Partition, int]


class Copy:
    """The writer of a mirror's file. Its passes are made one at a time."""

    def __init__(self, path: str, kafka: KafkaBus, app: App) -> None:
        self._file, self._kafka, self._foreign = CopyFile(path), kafka, Foreign(app)
        self._opened = ExitStack()  #: what is given back in the end
        self._store: Store
        self._counts: dict[str, int] = {}  #: topic -> partitions
        self._reader: Reader | None = None
        self._complete = False  #: is what the reader gave written, or held? If not, it has gone too far
        self._held: list[Page] = []  #: changes of mailboxes, and ends, that are not written yet, nor their positions
        self._ripe = 0  #: so many of these pages have their events in the file
        self._groups = {group_name(app.name, handler.name): handler.name for handler in app.runnable}
        self._controls = {group: control_topic(app.name, name) for group, name in self._groups.items()}
        self._states = {kafka.state_topic(control): group for group, control in self._controls.items()}
        self._late = {*self._states, runs_topic(app.name)}  #: topics that are seen after the others
        self._ids: dict[str, int] = {}  #: of groups, in the file
        self._numbers: dict[str, int] = {}  #: of topics there
        self._is_new = False  #: are the runs of what lay there before it not looked up yet?
        self._behind: dict[str, Mapping[Partition, int]] = {}  #: how far groups were before this pass, as far as needed
        self._asked_of: Mapping[str, Mapping[Partition, Progress]] = {}  #: how far they were when it began
        self._asked = self._trimmed = self._found = -math.inf  #: when the groups, the log starts, a record were
        self._missed = False  #: was a partition asked for that is not followed?
        self.moved = -math.inf  #: the loop's time when something was last written, or a pass found no more

    @classmethod
    async def begin(cls, path: str, kafka: KafkaBus, app: App, topics: Mapping[str, int]) -> Copy:
        """Open the file, or build it anew if it follows topics that were deleted since. Raises BusError."""
        copy = cls(path, kafka, app)
        try:
            await copy.open(topics)
        except BaseException:
            await copy.close()
            raise
        return copy

    async def open(self, topics: Mapping[str, int]) -> None:
        """Take a share of the file, made anew if need be; `begin` does."""
        self._opened.callback(self._file.close)
        await self._file.take()
        await self._prepare(topics)
        # In this order: another process may follow into the file just now, and go on beyond the ends of a moment ago.
        known = self.positions()
        ends = await self._kafka.ends([*topics])
        if any(offset > ends.get(place, 0) for place, offset in known.items()):
            self._store.close()
            await self._file.delete()
            self._counts = {}
            await self._prepare(topics)

    async def _prepare(self, topics: Mapping[str, int]) -> None:
        def name() -> None:
            self._ids = {group: self._store.group(group)[0] for group in (*self._groups, COPY)}

        self._store = Store(self._file.path)
        self._opened.callback(self._store.close)
        self._file.share()
        await self._write(name)
        self._numbers = {name: id_ for name, (id_, _) in self._store.topics().items()}
        await self._grow(topics)
        self._is_new = not self._store.wiring(COPY)

    def positions(self) -> dict[Partition, int]:
        """How far the file follows."""
        return self._watermarks(COPY)

    def holds(self, places: Sequence[tuple[Partition, int]]) -> bool:
        """Are these records in the file?"""
        known = self.positions()
        self._missed = self._missed or any(place.number >= self._counts.get(place.topic, 0) for place, _ in places)
        return all(known.get(place, 0) > offset for place, offset in places)

    async def close(self) -> None:
        """Stop reading, close the file."""
        await self._stop_reading()
        self._opened.close()

    # -- passes

    async def catch_up(self) -> None:
        """Read and write everything that is committed now. Raises BusError; then the next call goes on from there."""
        self._file.check()
        now = asyncio.get_running_loop().time()
        tidies = now - self._trimmed >= TRIM
        if tidies or self._missed:
            found = await self._kafka.describe([*self._counts])
            self._missed = False
            await self._grow({name: info.partitions for name, info in found.items()})
        reader = await self._reading()
        self._complete = False
        if tidies:
            await self._trim(reader)
            self._trimmed = now
        asks = now - self._found < BUSY or now - self._asked >= IDLE
        if await self._pass(reader, asks=asks) and not asks:
            await self._pass(reader, asks=True)  # whose these records are has moved
        self._complete = True

    async def _grow(self, topics: Mapping[str, int]) -> None:
        """Follow partitions that are new: the next reader has them, from their first record on."""
        if all(count <= self._counts.get(name, 0) for name, count in topics.items()):
            return
        await self._write(lambda: self._store.add_topics(topics))
        self._counts |= topics
        self._numbers = {name: id_ for name, (id_, _) in self._store.topics().items()}
        self._complete = False

    async def _reading(self) -> Reader:
        """The reader; after a pass that did not complete another one, which begins where the file says."""
        if self._reader is None or not self._complete:
            await self._stop_reading()
            own = self.positions()
            positions = {self._kafka.cluster_place(place): offset for place, offset in own.items()}
            places = [Partition(name, number) for name, count in self._counts.items() for number in range(count)]
            reader = self._kafka.reader([*map(self._kafka.cluster_place, places)], positions)
            self._reader = await reader.__aenter__()
        return self._reader

    async def _stop_reading(self) -> None:
        reader, self._reader = self._reader, None
        self._held = []
        if reader is not None:
            await reader.__aexit__(None, None, None)

    async def _pass(self, reader: Reader, *, asks: bool) -> bool:
        """Did it find anything?"""
        begun = asyncio.get_running_loop().time()
        progress = {group: await self._kafka.progress(group) for group in self._groups} if asks else {}
        self._behind, self._asked_of = {}, progress
        found = await self._read(reader)
        self._ripe = len(self._held)
        if any(page.records for page in self._held):
            await self._read(reader)  # whatever was written together with these changes
        pages, self._held = self._held[: self._ripe], self._held[self._ripe :]
        if pages or progress:
            await self._write(lambda: self._settle(pages, progress))
        if self._is_new:
            for tell in self._foreign.known(self._store, self._store.topics()):
                await self._write(tell)
                await asyncio.sleep(0)
            await self._write(lambda: self._store.save_wiring(COPY, {"known": []}))
            self._is_new = False
        if asks:
            self._asked = begun
        self.moved = asyncio.get_running_loop().time()
        return found

    async def _read(self, reader: Reader) -> bool:
        """Write every event there is now, hold every change of a mailbox; did it find anything?"""
        loop, found = asyncio.get_running_loop(), False
        begun, before = loop.time(), dict[Partition, int]()
        async with aclosing(reader.to_the_end(PAGE)) as pages:
            while (got := await self._next(pages)) is not None:
                page, positions = got
                if page or not positions.items() <= before.items():
                    await self._take([own_record(one, self._kafka.own_name(one.topic)) for one in page], positions)
                    self._found = self.moved = begun = loop.time()
                    before |= positions
                    found = True
                elif loop.time() - begun > SILENT:
                    raise BusUnavailable(f"Kafka gives no records for {SILENT:g} s now, although there are some")
        return found

    @staticmethod
    async def _next(pages: Pages) -> tuple[list[Any], dict[Partition, int]] | None:
        """The next page; None: that was the last one. Raises BusUnavailable if nothing comes, not even no records."""
        try:
            async with asyncio.timeout(HUNG):
                return await anext(pages, None)
        except TimeoutError:
            raise BusUnavailable(f"Kafka gives no answer for {HUNG:g} s; reading begins anew") from None

    async def _take(self, records: Sequence[Record], positions: Mapping[Partition, int]) -> None:
        if self._kafka.formats is not None:
            records = await self._kafka.formats.read(records)
        late = {place: end for place, end in positions.items() if self._kafka.own_name(place.topic) in self._late}
        if late:
            self._held.append(Page([one for one in records if one.topic in self._late], late))
        events = [one for one in records if one.topic not in self._late]
        places = {place: end for place, end in positions.items() if place not in late}
        await self._write(lambda: self._apply(events, places))
        held = [len(one.value) for page in self._held for one in page.records]
        if len(held) > HELD or sum(held) > HELD_BYTES:
            pages, self._held, self._ripe = self._held, [], 0
            await self._write(lambda: self._settle(pages, {}))

    async def _trim(self, reader: Reader) -> None:
        """Delete what lies before the cluster's first records, a little at a time; its pages are used again.

        Control topics have no end of their own: of these what is finished goes, as on the local bus.
        """
        starts = {self._own(place): start for place, start in (await reader.starts()).items()}
        for group, control in self._controls.items():
            starts |= {place: mark for place, mark in self._watermarks(group).items() if place.topic == control}
        for (topic, part), start in starts.items():
            number = self._numbers[topic]
            while (first := self._store.read(topic, number, part, 0, 1)) and first[0].offset < start:
                until = min(start, first[0].offset + PAGE)
                await self._write(lambda n=number, p=part, u=until: self._store.delete_before(n, p, u))  # type: ignore[misc]
                await asyncio.sleep(0)

    # -- rows

    def _own(self, place: Partition) -> Partition:
        return Partition(self._kafka.own_name(place.topic), place.number)

    def _watermarks(self, group: str) -> dict[Partition, int]:
        names = {id_: name for name, id_ in self._numbers.items()}
        stored = self._store.progress(self._ids[group])
        return {Partition(names[topic], number): value.watermark for (topic, number), value in stored.items()}

    def _before(self, group: str) -> Mapping[Partition, int]:
        """How far a group was before this pass; before the first one: when it began."""
        if group not in self._behind:
            known, asked = self._watermarks(group), self._asked_of.get(group, {})
            topics = {place.topic for place in known}  # of one that a later release takes too, where it began
            known |= {place: one.watermark for place, one in asked.items() if place.topic not in topics}
            self._behind[group] = known
        return self._behind[group]

    async def _write(self, write: Callable[[], None]) -> None:
        """In a transaction; waits for another process that writes to the same file."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LOCKED
        while True:
            try:
                self._store.begin()
                break
            except BusUnavailable:
                if loop.time() > until:
                    raise
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
                rows.append((place, record.time, _text(self._foreign.out(record, self._before))))
        self._store.append(rows)
        for group, some in changes.items():
            self._store.save_state(self._ids[group], some)
        mine = [
            (self._ids[COPY], self._numbers[place.topic], place.number, max(offset, known.get(place, 0)), "")
            for place, offset in ((self._own(where), offset) for where, offset in positions.items())
        ]
        self._store.save_progress(mine)

    def _settle(self, pages: Sequence[Page], progress: Mapping[str, Mapping[Partition, Progress]]) -> None:
        for page in pages:
            self._apply(page.records, page.positions)
        self._note(progress)

    def _note(self, progress: Mapping[str, Mapping[Partition, Progress]]) -> None:
        self._store.save_progress([
            (self._ids[group], self._numbers[place.topic], place.number, *value)
            for group, places in progress.items()
            for place, value in places.items()
            if place.topic in self._numbers
        ])  # fmt: skip
