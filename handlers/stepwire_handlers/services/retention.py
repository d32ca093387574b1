"""Old records of a local bus are deleted while a worker runs: what every group has finished, of runs that are over.

In: an app, its open bus and an age in seconds. Out: a shorter file. A record that a group has not finished is never
deleted, however old it is; neither is one that is younger than the first record of a run which still waits for
something, for whoever looks at that run, or decides it, needs its history. Dead letters stay. A file that is locked or
full is tried again at the next look; of a damaged one the worker speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus
from stepwire.bus.sqlite import position, run_hash
from stepwire.dispatch.step import runs_topic
from stepwire.errors import BusError
from stepwire.state import ITEM, JOIN

LOOK = 60.0  #: seconds between two deletions
EXPIRED = "SELECT max(pos) FROM events WHERE pos >= ? AND pos < ? AND time < ?"
#: when the oldest run began that has something stored: a gate, a join, a timer, what is parked; a stub names no run
WAITS = (
    "SELECT min(events.time) FROM (SELECT DISTINCT "
    "json_extract(CAST(substr(value, 2, instr(value, x'0a') - 2) AS TEXT), '$.run') AS run "
    "FROM state WHERE substr(key, 1, 2) IN (?, ?)) AS stored "
    "JOIN runs ON runs.number = run_hash(stored.run) AND runs.name = stored.run JOIN events ON events.run = runs.id"
)


@asynccontextmanager
async def retaining(app: App, bus: Bus, seconds: float | None) -> AsyncIterator[None]:
    """Delete what is older while the context is open; None: keep everything. Kafka does it by itself."""
    if seconds is None or not isinstance(bus, LocalBus):
        yield
        return
    task = asyncio.create_task(_again(app, bus, seconds))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _again(app: App, bus: LocalBus, seconds: float) -> None:
    while True:
        await asyncio.sleep(LOOK)
        with contextlib.suppress(BusError, sqlite3.Error):
            await expire(bus, seconds, unread_topics(app))


async def expire(bus: LocalBus, older_than: float, unread: Collection[str] = ()) -> int:
    """Delete records older than so many seconds that nobody needs any more; how many partitions shrank.

    `unread` are topics that no handler reads: where a group does, it decides.
    """
    before, shrunk = bus.clock.now() - older_than, 0
    waits = _waits(bus.store.db) if bus.path == ":memory:" else await asyncio.to_thread(_looked, bus.path)
    before = before if waits is None else min(before, waits)
    for (topic, part), end in {**_whole(bus, unread), **_finished(bus)}.items():
        first = position(topic, part, 0)
        (last,) = bus.store.db.execute(EXPIRED, (first, first + end, before)).fetchone()
        if last is not None:
            await bus.delete_before(topic, part, last - first + 1)
            shrunk += 1
    return shrunk


def _looked(path: str) -> float | None:
    """In a thread, by a connection of its own: all that is stored is looked at, while the loop goes on."""
    with contextlib.closing(sqlite3.connect(path, timeout=5.0)) as database:
        return _waits(database)


def _waits(database: sqlite3.Connection) -> float | None:
    database.create_function("run_hash", 1, lambda run: None if run is None else run_hash(run), deterministic=True)
    (oldest,) = database.execute(WAITS, (JOIN, ITEM)).fetchone()
    return None if oldest is None else float(oldest)


def unread_topics(app: App) -> set[str]:
    """Topics on which an app writes for people and other systems: no handler of its own reads them."""
    events = {event.spec.topic for event in app.wiring.events}
    taken = {event.spec.topic for step in app.runnable for event in step.signature.taken}
    return {runs_topic(app.name)} | (events - taken)


def _finished(bus: LocalBus) -> dict[tuple[int, int], int]:
    """Partitions that are consumed, and up to where every group has finished them."""
    watermarks: dict[tuple[int, int], int] = {}
    for number, _ in bus.store.groups().values():
        for place, progress in bus.store.progress(number).items():
            watermarks[place] = min(progress.watermark, watermarks.get(place, progress.watermark))
    return watermarks


def _whole(bus: LocalBus, names: Collection[str]) -> dict[tuple[int, int], int]:
    """All partitions of these topics, up to their last record: it stays, for offsets go on from it."""
    topics = bus.store.topics()
    places = [(topics[name][0], part) for name in names if name in topics for part in range(topics[name][1])]
    return {place: max(0, bus.store.end(*place) - 1) for place in places}
