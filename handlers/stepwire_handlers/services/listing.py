"""Runs of an app, newest first, however large the file is.

In: an app, an open bus, a state and a time. Out: views of runs, and whether all were looked at. Cost: the newest
records of the app's entry topics are read backwards, a page at a time by their position, and as many runs as are shown;
the rest of the file is not touched. With a state at most `SCAN` runs are looked into, and for what failed or waits
first those that a dead letter or a stored entry names, however old they are.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.codec import Codec, Decoded, derived_run
from stepwire.dispatch.step import control_topic, group_name
from stepwire.errors import DecodeError
from stepwire.state import ITEM, JOIN, decode_meta
from stepwire_handlers.services.closing import Reader
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.history import History
from stepwire_handlers.services.runs import Runs, RunView
from stepwire_handlers.services.snapshot import snapshot

PAGE = 200  #: records that are read at once, backwards
SCAN = 2_000  #: runs that a listing with a state looks into
UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
ENTRIES = 50_000  #: stored entries that are asked for their run


class Listing(NamedTuple):
    """Runs, newest first."""

    views: list[RunView]
    looked: int  #: how many runs were looked into
    whole: bool  #: were all of them looked at, that began late enough?


def newest(app: App, bus: LocalBus, limit: int, state: str | None = None, since: float = 0.0) -> Listing:
    """At most `limit` runs in that state, begun at `since` (epoch seconds) or later. Raises BusUnavailable."""
    runs = Runs(app, bus)
    views: list[RunView] = []
    looked, whole = 0, True
    with snapshot(bus):
        for run in _candidates(app, bus, state, since):
            if len(views) == limit or (state is not None and looked == SCAN):
                whole = False
                break
            looked += 1
            view = runs.view(run)
            if (view.lines or view.open) and view.started >= since and state in (None, view.state):
                views.append(view)
    views.sort(key=lambda view: view.started, reverse=True)
    return Listing(views, looked, whole)


def named(
    app: App, bus: LocalBus, prefix: str, limit: int, state: str | None = None, since: float = 0.0
) -> Listing:  # fmt: skip
    """At most `limit` of the app's runs whose names begin so. At most `SCAN` are looked into."""
    runs, views = Runs(app, bus), list[RunView]()
    with snapshot(bus):
        names = History(bus.store).runs_named(prefix)
        for run in names[:SCAN]:
            view = runs.view(run)
            if (view.lines or view.open) and view.started >= since and state in (None, view.state):
                views.append(view)
    views.sort(key=lambda view: view.started, reverse=True)
    return Listing(views[:limit], min(len(names), SCAN), len(views) <= limit and len(names) <= SCAN)


def begun_since(text: str) -> float:
    """Epoch seconds of `30m`, `12h`, `7d` before now, or of a date. Raises ValueError for what is no time."""
    if text[-1:] in UNITS and math.isfinite(ago := float(text[:-1]) * UNITS[text[-1]]):
        return time.time() - ago
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except OverflowError as error:
        raise ValueError(text) from error


def _candidates(app: App, bus: LocalBus, state: str | None, since: float) -> Iterator[str]:
    """Names of runs that may be listed, each once."""
    named: set[str] = set()
    if state == "failed":
        named = {letter.run for letter in DeadLetters(app, bus).open()}
    elif state == "waiting":
        named = set(_stored(app, bus))
    known = sorted(named - {""}, key=lambda run: bus.store.find_run(run) or 0, reverse=True)
    seen: set[str] = set()
    for run in chain(known, _begun(app, bus, since)):
        if run not in seen:
            seen.add(run)
            yield run


def _stored(app: App, bus: LocalBus) -> Iterator[str]:
    """The runs of what lies in the mailboxes."""
    looked, groups = 0, bus.store.groups()
    for handler in app.runnable:
        number, _ = groups.get(group_name(app.name, handler.name), (-1, 0))
        _, partitions = bus.log.topics.get(control_topic(app.name, handler.name), (0, 0))
        for part in range(partitions):
            after = ""
            while looked < ENTRIES and (rows := bus.store.state(number, part, after, PAGE)):
                looked, after = looked + len(rows), rows[-1][0]
                yield from (str(decode_meta(raw).get("run", "")) for key, raw in rows if key[:2] in (ITEM, JOIN))


def _begun(app: App, bus: LocalBus, since: float) -> Iterator[str]:
    """Runs by their published events, newest first."""
    types = {event.spec.topic: [e for e in app.wiring.events if e.spec.topic == event.spec.topic]
             for event in app.wiring.graph.entries}  # fmt: skip
    codecs = {topic: Codec(topic, events) for topic, events in types.items() if topic in bus.log.topics}
    reader = Reader(app)
    pages = [
        _backwards(app, bus, place, codecs[topic], reader) for topic in codecs for place in bus.log.partitions(topic)
    ]
    for begun, run in heapq.merge(*pages, reverse=True):
        if begun < since:
            return
        yield run


def _backwards(
    app: App, bus: LocalBus, place: Partition, codec: Codec, reader: Reader
) -> Iterator[tuple[float, str]]:  # fmt: skip
    """(time, run) of the published events of one partition, youngest first."""
    end = bus.log.end(place)
    while end > 0:
        begin = max(0, end - PAGE)
        records = [record for record in bus.log.take(place, begin, end - begin) if record.offset < end]
        if not records:
            return  # from here on down everything is deleted
        for record in reversed(records):
            if record.headers.get("ce_swhandler"):
                continue  # an event that a loop came back to
            run = record.headers.get("ce_swrun")
            if run:
                yield record.time, run
                continue
            try:
                decoded = codec.decode(record)
            except DecodeError:  # it began a run if somebody replayed its dead letter, mended
                yield record.time, reader.unreadable(record, "")[0]
                continue
            if isinstance(decoded, Decoded):
                yield record.time, derived_run(decoded.envelope, decoded.event, app.name)
        end = begin
