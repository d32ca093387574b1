"""How many runs of an app began, completed and failed, and what those that are open wait for: without reading any run.

In: an app and its bus's file, or a copy of its topics. Out: a `Tally` at each look. A run is open while something of
it is unfinished, as `reasons` finds it. So a look costs what is open and what came since the last one, not what lies
there; and its memory is the same however much is open, for `runsets` keeps runs in temporary tables of SQLite.

Only who sees all topics can know this; a worker sees its partitions. Every process that looks comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.log import Log
from stepwire.bus.protocol import Partition
from stepwire.bus.sqlite import Store, position
from stepwire.dispatch.step import dead_letter_topic, runs_topic
from stepwire_handlers.services.reasons import DEAD, MOVES, PERSON, REST, Reasons
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.runsets import RunSets
from stepwire_handlers.services.snapshot import snapshot
from stepwire_handlers.telemetry.runs import DURATION
from stepwire_handlers.telemetry.series import Spread

#: of a connection that only counts: it reads most of what it reads once, so a large cache would just be filled
SETTINGS = ("cache_size=-2048", "temp_store=FILE", "temp.cache_size=-2048")  # KiB


class Tally(NamedTuple):
    """What one look came to."""

    started: int = 0  #: since the look before, as the next two
    completed: int = 0
    failed: int = 0
    open: tuple[int, int, int] = (0, 0, 0)  #: how many are in each of `telemetry.runs.STATES`
    oldest: float = 0.0  #: when the oldest that runs or waits began, epoch seconds; 0: there is none


def reader(bus: LocalBus) -> LocalBus:
    """The same file over a connection of its own, for a thread of its own; a bus in memory has none."""
    if bus.path == ":memory:":
        return bus
    found = LocalBus(bus.path, clock=bus.clock)
    found.store = Store(bus.path)
    for setting in SETTINGS:
        found.store.db.execute(f"PRAGMA {setting}")
    found.log = Log(found.store)
    return found


class Teller:
    """Looks at one app's runs again and again. What was open at the first look is not counted as started."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus, self._runs = app, bus, Runs(app, bus)
        self._sets = RunSets(bus.store.db)
        self._reasons = Reasons(app, bus, self._sets)
        self._asks = any(step.match is None for step in app.wiring.externals.values())
        self._ends: dict[Partition, int] | None = None  #: of the last look; None: there was none
        self._last = 0  #: the youngest run then
        self.took = Spread(DURATION)  #: how long the runs took that the last look found completed

    def look(self) -> Tally:
        """Count. Raises BusUnavailable, BusCorrupt, sqlite3.Error; then it is as if nobody had looked."""
        self.took = Spread(DURATION)
        with snapshot(self._bus), self._sets.look():
            ends = {place: self._bus.log.end(place) for place in self._places()}
            found = self._first() if self._ends is None else self._next(self._ends, ends)
            (last,) = self._bus.store.db.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
        self._ends, self._last = ends, int(last)
        return found

    def close(self) -> None:
        """Give back what it keeps, where the connection stays open. Raises sqlite3.Error."""
        self._sets.drop()

    def _first(self) -> Tally:
        self._find()
        return Tally(0, 0, 0, self._open(), self._oldest())

    def _next(self, before: dict[Partition, int], now: dict[Partition, int]) -> Tally:
        for place, end in now.items():
            first = self._first_position(place)
            self._sets.touch(first + before.get(place, 0), first + end)
        whole = self._find()
        begun = self._sets.began(self._last, self._is_new_here)
        completed, failed = self._sets.close(self.took.observe, whole=whole), self._sets.became(DEAD)
        return Tally(begun, completed, failed, self._open(), self._oldest())

    # -- what came since

    def _places(self) -> Iterator[Partition]:
        topics = {event.spec.topic for event in self._app.wiring.events} | {runs_topic(self._app.name)}
        topics |= {dead_letter_topic(self._app.name, handler.name) for handler in self._app.runnable}
        for topic in topics & self._bus.log.topics.keys():
            yield from self._bus.log.partitions(topic)

    def _first_position(self, place: Partition) -> int:
        return position(self._bus.log.topics[place.topic][0], place.number, 0)

    def _is_new_here(self, run: int) -> bool:
        """Was nothing of it here at the last look? A run that another app on this file began is new to this one."""
        bounds = [(self._first_position(place), end) for place, end in (self._ends or {}).items()]
        rows = self._bus.store.db.execute("SELECT pos FROM events WHERE run = ?", (run,))
        return not any(first <= pos < first + end for (pos,) in rows for first, end in bounds)

    # -- what is open

    def _find(self) -> bool:
        """All that is open; was everything looked at?"""
        whole = self._reasons.find()
        if self._asks:
            self._keep_outside()
        return whole

    def _keep_outside(self) -> None:
        """A run that waits for somebody else's service has nothing stored: only its own events say so."""
        sets, database = self._sets, self._bus.store.db
        sets.execute(
            "INSERT OR IGNORE INTO $now SELECT run, ? FROM $outside WHERE run NOT IN (SELECT run FROM $touched)", REST
        )
        for run in sets.finished():
            (name,) = database.execute("SELECT name FROM runs WHERE id = ?", (run,)).fetchone()
            if self._runs.view(name).state != "completed":
                sets.execute("INSERT OR IGNORE INTO $outside VALUES (?)", run)
                sets.execute("INSERT INTO $now VALUES (?, ?)", run, REST)
        sets.execute("DELETE FROM $outside WHERE $gone")

    def _open(self) -> tuple[int, int, int]:
        rest, dead, person, moves = self._sets.counts((REST, DEAD, PERSON, MOVES))
        return moves, rest + person, dead

    def _oldest(self) -> float:
        time, run = self._sets.execute(
            "SELECT min(time), id FROM $now CROSS JOIN runs ON id = run WHERE why != ?", DEAD
        ).fetchone()
        if run is None:
            return 0.0
        (first,) = self._bus.store.db.execute("SELECT min(time) FROM events WHERE run = ?", (run,)).fetchone()
        return float(first or time)
