"""The apps behind a door, each with its bus as one may look into it, and what is read of it again and again.

In: an app and an open bus. Out: a `Place`. Apps on one local file share a bus; on Kafka each has a copy of its topics.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire.codec import Codec
from stepwire.errors import BusError
from stepwire_handlers.entries import entries_of
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.history import History
from stepwire_handlers.services.known import Turns
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.signing import Signing

LOOK = 0.02  #: seconds between two looks for somebody else's commit, however many wait for one
RUN = 128  #: characters of a run's name that are looked up


@runtime_checkable
class Copied(Protocol):
    """A bus that lies elsewhere and is followed here."""

    def follows(self) -> bool:
        """Is it in reach, as far as following tells?"""


class Watch:
    """Tells everybody who waits on one bus that something was committed: one look for all of them."""

    def __init__(self, bus: LocalBus) -> None:
        self._bus, self._moved = bus, asyncio.Event()
        self._copied = bus if isinstance(bus, Copied) else None
        self.reachable = True  #: did the last look come to an answer?

    async def run(self) -> None:
        """Look until cancelled."""
        version = -1
        while True:
            try:
                now = self._bus.store.data_version()
                self.reachable = self._bus.broken is None and (self._copied is None or self._copied.follows())
            except BusError:
                self.reachable, now = False, version
            if now != version:
                version = now
                self.stir()
            await asyncio.sleep(LOOK)

    def stir(self) -> None:
        """Something was committed."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def moved(self, seconds: float) -> None:
        """Return at the next commit, or when time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()


class Place:
    """One app behind the door."""

    CURE = (
        "gates and steps that are new there are not seen here; restart it with their release. It goes by the worker "
        "that started last: if that was one of the old release, in a rollout, the next one that starts ends this"
    )

    def __init__(self, app: App, bus: LocalBus, watch: Watch, turns: Turns) -> None:
        self.app, self.bus, self.watch, self.turns = app, bus, watch, turns
        self.sign("")
        self.outdated = False  #: do its workers run another release than ours?
        self.refused = ""  #: why its workers would throw away what is decided here; empty: they take it
        self.entries: Mapping[str, type[Event]] = {kind.__name__: kind for kind in entries_of(app)}
        topics = {kind.spec.topic for kind in app.wiring.events}
        self.codecs = {
            topic: Codec(topic, [kind for kind in app.wiring.events if kind.spec.topic == topic]) for topic in topics
        }

    def sign(self, key: str) -> None:
        """Decide, and check what was decided, with this key; empty: there is none."""
        self.signing = Signing(self.app.name, self.bus, key)
        self.runs = Runs(self.app, self.bus, self.signing)

    @property
    def history(self) -> History:
        """The records of runs."""
        return History(self.bus.store)

    def entry(self, name: str) -> tuple[type[Event], str]:
        """An entry by its class or ce_type, and as which ce_type it comes: an older version is named by that.

        Raises Problem 404.
        """
        for kind in self.entries.values():
            spec = kind.spec
            if name in (kind.__name__, spec.type, spec.base):
                return kind, spec.type
            if name in (f"{spec.base}.v{version}" for version in spec.upcasts):
                return kind, name
        known = ", ".join(self.entries)
        raise Problem(404, "not-found", f"runs of {self.app.name} do not begin with that; they begin with {known}")

    @property
    def taken(self) -> Mapping[str, type[Event]]:
        """What may come from outside, by ce_type: entries and answers."""
        return {each.spec.type: each for each in (*self.entries.values(), *self.app.wiring.answers)}

    def takes(self, kind: str) -> bool:
        """May an event of this ce_type come from outside, of whatever version?"""
        return any(kind == name or kind.rpartition(".v")[0] == each.spec.base for name, each in self.taken.items())


class Places:
    """All of them."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.all = tuple(places)
        self._by_name = {place.app.name: place for place in places}

    def __getitem__(self, name: str) -> Place:
        """Raises Problem 404."""
        found = self._by_name.get(name)
        if found is None:
            raise Problem(404, "not-found", "there is no such app behind this door that you have a role of")
        return found

    def of_type(self, kind: str) -> list[Place]:
        """Those that take an event of this ce_type from outside."""
        return [place for place in self.all if place.takes(kind)]
