"""A cluster without a broker, as a mirror sees one: topics of one partition, groups, and a reader that runs ahead.

In: an app. Out: what a mirror asks of a `KafkaBus`; a test decides what is there, and counts what is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from stepwire import App, Event
from stepwire.bus.protocol import Out, Partition, Progress, Record, TopicInfo
from stepwire_handlers.services.mirror import Mirror


class Formats:
    """Translates nothing; waits while `open` is not set, and fails as often as there are `errors`."""

    def __init__(self) -> None:
        self.open, self.errors, self.waiting = asyncio.Event(), list[Exception](), 0
        self.open.set()

    async def read(self, records: Sequence[Record]) -> Sequence[Record]:
        """The same records."""
        self.waiting += 1
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        return records


class Feigned:
    """In place of a `KafkaBus`."""

    def __init__(self, app: App) -> None:
        self.app, self.prefix, self.options = app, "", {"bootstrap_servers": "nowhere"}
        self.logs: dict[str, list[Any]] = {}
        self.first: dict[str, int] = {}  #: what lies before was deleted
        self.groups: dict[str, dict[Partition, Progress]] = {}
        self.formats = Formats()
        self.questions = self.passes = 0  #: about groups; readings to the end

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nor to leave."""

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """All there are."""
        return {name: TopicInfo(name, 1) for name in topics}

    async def ends(self, topics: Collection[str]) -> Mapping[Partition, int]:
        """The next offsets."""
        return {Partition(name, 0): len(self.logs.get(name, ())) for name in topics}

    @staticmethod
    def state_topic(control: str) -> str:
        """As on Kafka."""
        return control.removesuffix(".control") + ".state"

    @staticmethod
    def own_name(name: str) -> str:
        """There is no prefix."""
        return name

    @staticmethod
    def cluster_place(place: Partition) -> Partition:
        """Nor here."""
        return place

    async def progress(self, group: str) -> Mapping[Partition, Progress]:
        """How far a group is."""
        self.questions += 1
        await asyncio.sleep(0)
        return self.groups.get(group, {})

    def reader(self, places: Sequence[Partition], positions: Mapping[Partition, int]) -> Reader:
        """One that begins there."""
        return Reader(self, places, positions)

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Append."""
        placed = []
        for out in outputs:
            log = self.logs.setdefault(out.topic, [])
            headers = [(name, value.encode()) for name, value in out.headers.items()]
            key = None if out.key is None else out.key.encode()
            log.append(SimpleNamespace(topic=out.topic, partition=0, offset=len(log), timestamp=time.time() * 1000,
                                       key=key, headers=headers, value=out.value))  # fmt: skip
            placed.append((Partition(out.topic, 0), len(log) - 1))
        return placed

    def outs(self, *events: Event) -> list[Out]:
        """Events as they are published, in runs of their own."""
        return [self.app.record(event, now=time.time())[0] for event in events]


class Reader:
    """Is ahead of whoever takes its pages, as Kafka's reader is."""

    def __init__(self, cluster: Feigned, places: Sequence[Partition], positions: Mapping[Partition, int]) -> None:
        self._cluster, self._places = cluster, places
        self._at = {place: max(positions.get(place, 0), cluster.first.get(place.topic, 0)) for place in places}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def starts(self) -> dict[Partition, int]:
        """The first offsets."""
        return {place: self._cluster.first.get(place.topic, 0) for place in self._places}

    async def to_the_end(self, page: int) -> AsyncIterator[tuple[list[Any], dict[Partition, int]]]:
        """Each topic's rest, a page at a time."""
        self._cluster.passes += 1
        ends = await self._cluster.ends([place.topic for place in self._places])
        await asyncio.sleep(0)
        for place in self._places:
            while self._at[place] < ends[place]:
                begin = self._at[place]
                self._at[place] = min(begin + page, ends[place])
                yield self._cluster.logs[place.topic][begin : self._at[place]], {place: self._at[place]}


@asynccontextmanager
async def following(cluster: Feigned, folder: Path) -> AsyncIterator[Mirror]:
    """A mirror of it."""
    bus: Any = cluster
    mirror = Mirror(bus, cluster.app, folder)
    await mirror.open()
    try:
        yield mirror
    finally:
        await mirror.close()
