"""Where handlers start that never read a topic: now, at its beginning, or at a time (R15).

In: what was asked for, an app, an open bus whose topics exist. Out: stored progress, which is what a group then goes on
from. Only a group and topic that never met are touched; `now` is what preparing an app does by itself.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Literal, NamedTuple

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.sqlite import OFFSET_BITS, Store, position
from stepwire.dispatch.step import group_name
from stepwire.errors import BusUnavailable, SettingsError

Start = Literal["now", "beginning"] | float  #: a number: seconds since the epoch
PATIENCE, PAUSE = 5.0, 0.05  #: seconds for a locked file


class Started(NamedTuple):
    """A handler that now has a start in a topic."""

    handler: str
    topic: str


def start_of(text: str) -> Start:
    """What `--start` says. Raises SettingsError for anything else."""
    if text in ("now", "beginning"):
        return "now" if text == "now" else "beginning"
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--start {text}: write now, beginning, or a time such as 2026-03-01T12:00:00Z; nothing was done"
        ) from None
    if when.tzinfo is None:
        raise SettingsError(f"--start {text} does not say in which time zone; write {text}Z for UTC; nothing was done")
    return when.timestamp()


def read_by(app: App) -> dict[str, list[str]]:
    """Handler -> the business topics that it reads."""
    return {
        handler.name: [*dict.fromkeys(event.spec.topic for event in handler.signature.taken)]
        for handler in app.runnable
    }


async def start_locally(app: App, bus: LocalBus, start: Start) -> list[Started]:
    """Store the start, for all handlers in one transaction. Raises BusUnavailable."""
    if start == "now":
        return []
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return _store(app, bus, start)
        except BusUnavailable:
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(PAUSE)


def _store(app: App, bus: LocalBus, start: Start) -> list[Started]:
    bus.catch_up()
    store, found = bus.store, list[Started]()
    try:
        store.begin()
        for handler, topics in read_by(app).items():
            number, _ = store.group(group_name(app.name, handler))
            known = {topic for topic, _ in store.progress(number)}
            for topic in topics:
                id_, partitions = bus.log.topics[topic]
                if id_ not in known:
                    rows = [(number, id_, n, _first(store, id_, n, start), "") for n in range(partitions)]
                    store.save_progress(rows)
                    found.append(Started(handler, topic))
        store.commit()
    except BaseException:
        store.rollback()
        raise
    return found


def _first(store: Store, topic: int, part: int, start: Start) -> int:
    """The first record that there is, or that is not older than a time; else the end."""
    first = position(topic, part, 0)
    (found,) = store.db.execute(
        "SELECT min(pos) FROM events WHERE pos >= ? AND pos < ? AND time >= ?",
        (first, first + (1 << OFFSET_BITS), start if isinstance(start, float) else 0.0),
    ).fetchone()
    return store.end(topic, part) if found is None else int(found) - first
