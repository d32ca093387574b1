"""Workers of an app on a real broker, in the test's own process: start them, publish, wait for what comes out.

In: a broker, a prefix, an app. Out: what lies on topics, read as committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from stepwire import App, Event, Settings
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.telemetry import silent
from stepwire.worker import Worker, prepare

SETTINGS = Settings(partitions=3, control_partitions=4, session=6.0, drain=5.0, backoff=0.05)
PATIENCE = 40.0


class Stage:
    """An app's place on a cluster."""

    def __init__(self, servers: str, prefix: str, app: App, settings: Settings) -> None:
        self.servers, self.prefix, self.app, self.settings = servers, prefix, app, settings
        self.bus = self.new_bus()
        self._workers: list[tuple[Worker, KafkaBus]] = []

    def new_bus(self) -> KafkaBus:
        """Another connection to the cluster, as another process has it."""
        return KafkaBus(self.servers, prefix=self.prefix, session=self.settings.session, create_topics=True)

    async def worker(
        self, app: App | None = None, telemetry: Callable[[Any], None] = silent, *, accept_loss: bool = False
    ) -> Worker:
        """One more worker; it has its partitions when this returns."""
        bus = self.new_bus()
        await bus.open()
        worker = Worker(app or self.app, bus, settings=self.settings, telemetry=telemetry, accept_loss=accept_loss)
        try:
            await worker.start()
        except BaseException:
            await bus.close()
            raise
        self._workers.append((worker, bus))
        async with asyncio.timeout(PATIENCE):
            while not all(d.committer.ledgers for d in worker.dispatchers):
                await asyncio.sleep(0.02)
        return worker

    async def stop(self, worker: Worker) -> None:
        """In order: drain, commit, leave."""
        bus = next(bus for known, bus in self._workers if known is worker)
        self._workers = [pair for pair in self._workers if pair[0] is not worker]
        await worker.stop()
        await bus.close()

    async def vanish(self, worker: Worker) -> None:
        """As kill -9 leaves it: no commit, no abort, no goodbye; the brokers must notice by themselves."""
        bus = next(bus for known, bus in self._workers if known is worker)
        self._workers = [pair for pair in self._workers if pair[0] is not worker]
        for loop in worker._loops:
            loop.cancel()
        await asyncio.gather(*worker._loops, return_exceptions=True)
        for dispatcher in worker.dispatchers:
            for delivery in list(dispatcher.caller.running):
                dispatcher.caller.cancel(delivery)
            member: Any = dispatcher._member
            coordinator = member._consumer._coordinator
            coordinator._maybe_leave_group, coordinator.member_id = _nothing, ""
            if member._writing is not None:
                member._writing.cancel()
                await asyncio.wait([member._writing])
            await member._stand_up()
            await member._connection.close()
        bus._members.clear()
        await bus.close()

    async def publish(self, *events: Event) -> list[str]:
        """Their runs."""
        outs = [self.app.record(event, now=time.time()) for event in events]
        await self.bus.publish([out for out, _ in outs])
        return [run for _, run in outs]

    async def send(self, topic: str, value: bytes, key: str | None = None, **headers: str) -> None:
        """A record as somebody else writes it."""
        await self.bus.publish([Out(topic, key, headers, value)])

    async def records(self, topic: str) -> list[Record]:
        """All that is committed there."""
        found: list[Record] = []
        for place in await self.bus.ends([topic]):
            found += await self.bus.read(Partition(topic, place.number), 0, 100_000)
        return found

    async def until(self, topic: str, count: int) -> list[Record]:
        """The records of a topic, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(found := await self.records(topic)) < count:
                await asyncio.sleep(0.05)
        return found

    async def close(self) -> None:
        """Stop all workers."""
        for worker, bus in self._workers:
            await worker.stop()
            await bus.close()
        await self.bus.close()


async def _nothing() -> None:
    """In place of a goodbye."""


@asynccontextmanager
async def stage(servers: str, prefix: str, app: App, settings: Settings = SETTINGS) -> AsyncIterator[Stage]:
    """An app's topics, made, and no worker yet."""
    opened = Stage(servers, prefix, app, settings)
    await opened.bus.open()
    try:
        await prepare(app, opened.bus, settings)
        yield opened
    finally:
        await opened.close()
