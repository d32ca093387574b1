"""Old records of a local bus are deleted while a worker runs: what every group has finished, of runs that are over.

In: an app, its open bus and an age in seconds. Out: a shorter file. A record that a group has not finished is never
deleted, however old it is; neither is one that is younger than the first record of a run of this app which still waits
for something, for whoever looks at that run, or decides it, needs its history. Dead letters stay, and the records of
how deliveries ended, which tell those that were answered. A file that is locked or full is tried again at the next
look; of a damaged one the worker speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus
from stepwire.bus.sqlite import position, run_hash
from stepwire.dispatch.step import group_name
from stepwire.errors import BusError
from stepwire.state import ITEM, JOIN

Place = tuple[int, int]  #: a topic's number, and a partition of it
LOOK = 60.0  #: seconds between two deletions
YOUNG = "SELECT min(pos) FROM events WHERE pos >= ? AND pos < ? AND time >= ?"
#: when the oldest run began that has something stored: a gate, a join, a timer, what is parked; a stub names no run
STORED = (
    "SELECT min(events.time) FROM (SELECT DISTINCT CASE WHEN json_valid(meta) THEN json_extract(meta, '$.run') END "
    "AS run FROM (SELECT CAST(substr(value, 2, instr(value, x'0a') - 2) AS TEXT) AS meta FROM state "
    "WHERE substr(key, 1, 2) IN (?, ?))) AS stored "
    "JOIN runs ON runs.number = run_hash(stored.run) AND runs.name = stored.run JOIN events ON events.run = runs.id"
)
#: when the run began whose record is the first one of a range
BEHIND = (
    "SELECT min(time) FROM events WHERE run = (SELECT run FROM events WHERE pos >= ? AND pos < ? ORDER BY pos LIMIT 1)"
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
            await expire(app, bus, seconds)


async def expire(app: App, bus: LocalBus, older_than: float) -> int:
    """Delete records older than so many seconds that nobody needs any more; how many partitions shrank."""
    finished = _finished(bus)
    waits = _stored(bus.store.db) if bus.path == ":memory:" else await asyncio.to_thread(_looked, bus.path)
    needed = [bus.clock.now() - older_than, *_behind(app, bus), *([] if waits is None else [waits])]
    before, shrunk = min(needed), 0
    for (topic, part), end in {**_unread(app, bus, finished), **finished}.items():
        first = position(topic, part, 0)
        (young,) = bus.store.db.execute(YOUNG, (first, first + end, before)).fetchone()
        upto = end if young is None else young - first
        (there,) = bus.store.db.execute(
            "SELECT EXISTS (SELECT 1 FROM events WHERE pos >= ? AND pos < ?)", (first, first + upto)
        ).fetchone()
        if there:
            await bus.delete_before(topic, part, upto)
            shrunk += 1
    return shrunk


def _finished(bus: LocalBus) -> dict[Place, int]:
    """Partitions that are consumed, and up to where every group has finished them."""
    watermarks: dict[Place, int] = {}
    for number, _ in bus.store.groups().values():
        for place, progress in bus.store.progress(number).items():
            watermarks[place] = min(progress.watermark, watermarks.get(place, progress.watermark))
    return watermarks


def _unread(app: App, bus: LocalBus, finished: Mapping[Place, int]) -> dict[Place, int]:
    """What an app writes for people and other systems, up to the last record: it stays, for offsets go on from it.

    Not what a service outside is asked: its run waits for the answer, and only the question says so. Nor a topic that
    another app on this file reads: its groups say what is finished, new partitions included.
    """
    events = {event.spec.topic for event in app.wiring.events}
    taken = {event.spec.topic for step in app.runnable for event in step.signature.taken}
    asked = {step.ask.spec.topic for step in app.wiring.externals.values()}
    topics, read = bus.store.topics(), {topic for topic, _ in finished}
    found = [topics[name] for name in events - taken - asked if name in topics]
    places = [(number, part) for number, parts in found if number not in read for part in range(parts)]
    return {place: max(0, bus.store.end(*place) - 1) for place in places}


# -- what is needed


def _behind(app: App, bus: LocalBus) -> list[float]:
    """When the runs began that a step of this app is behind with, of each partition the first."""
    groups, database = bus.store.groups(), bus.store.db
    numbers = [groups[name][0] for step in app.runnable if (name := group_name(app.name, step.name)) in groups]
    places = [(place, progress) for number in numbers for place, progress in bus.store.progress(number).items()]
    starts = [(position(*place, 0), progress.watermark) for place, progress in places]
    rows = [database.execute(BEHIND, (first + mark, position(0, 1, 0) + first)).fetchone() for first, mark in starts]
    return [time for (time,) in rows if time is not None]


def _looked(path: str) -> float | None:
    """In a thread, by a connection of its own: all that is stored is looked at, while the loop goes on."""
    with contextlib.closing(sqlite3.connect(path, timeout=5.0)) as database:
        return _stored(database)


def _stored(database: sqlite3.Connection) -> float | None:
    database.create_function("run_hash", 1, lambda run: None if run is None else run_hash(run), deterministic=True)
    (oldest,) = database.execute(STORED, (JOIN, ITEM)).fetchone()
    return None if oldest is None else float(oldest)
