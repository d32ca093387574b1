"""The load's way in: it publishes through the bus and learns from the bus when a run's answer is committed.

In: a bus, of the worker's own process or of another one. Out: awaited answers; afterwards, read from the file
with nothing of ours, how many there really are.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from stepwire import App, Event
from stepwire.bus.protocol import Bus, Membership, Out, Partition

GROUP = "bench.load"
TOPIC_SHIFT = 44  #: a record's position in the file holds its topic's number above this bit


class Door:
    """Publishes events; an answer is any record of the same run on the topic of answers."""

    def __init__(self, bus: Bus, app: App) -> None:
        self._bus, self._app = bus, app
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def publish(self, *events: Event) -> None:
        """Write the events in one transaction."""
        await self._bus.publish([self._record(event)[0] for event in events])

    async def ask(self, *events: Event) -> None:
        """Publish the events and return once each of their runs has its answer."""
        records = [self._record(event) for event in events]
        loop = asyncio.get_running_loop()
        waiting = {run: loop.create_future() for _, run in records}
        self._waiting |= waiting  # before the publish: nobody is quicker than that
        await self._bus.publish([output for output, _ in records])
        await asyncio.gather(*waiting.values())

    def _record(self, event: Event) -> tuple[Out, str]:
        return self._app.record(event, now=time.time())

    async def listen(self, member: Membership, answers: Partition, offset: int) -> None:
        """Wake whoever waits, as soon as the answer is committed."""
        while True:
            for record in await member.fetch({answers: offset}, 1_000):
                offset = record.offset + 1
                if (waiting := self._waiting.pop(record.headers["ce_swrun"], None)) is not None:
                    waiting.set_result(None)


@asynccontextmanager
async def door(bus: Bus, app: App, answers: type[Event]) -> AsyncIterator[Door]:
    """A door to an open bus, listening to the topic of `answers` from its present end."""
    topic, control = answers.spec.topic, f"{GROUP}.control"
    await bus.create({topic: 1, control: 1})
    member = await bus.join(GROUP, [topic], control)
    opened, partition = Door(bus, app), Partition(topic, 0)
    end = (await bus.ends([topic]))[partition]
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(opened.listen(member, partition, end))
        yield opened
        listening.cancel()
    await member.leave()


def counted(file: Path, event: type[Event]) -> int:
    """How many records lie on the topic of `event`; 0 without a file. Reads with SQLite alone."""
    if not file.exists():
        return 0
    query = "SELECT count(*) FROM events JOIN topics ON name = ? AND pos >= id << ? AND pos < (id + 1) << ?"
    return _number(file, query, (event.spec.topic, TOPIC_SHIFT, TOPIC_SHIFT))


def stored(file: Path) -> int:
    """How many entries of keyed state lie in the file."""
    return _number(file, "SELECT count(*) FROM state", ())


def expect(what: str, found: int, expected: int) -> None:
    """Raises SystemExit when the outputs do not add up: such a measurement is void."""
    if found != expected:
        raise SystemExit(f"{what}: {found} in the file, {expected} expected; the measurement is void")


def _number(file: Path, query: str, values: Sequence[str | int]) -> int:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        (number,) = db.execute(query, values).fetchone()
    return int(number)
