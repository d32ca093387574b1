"""Waiting for runs: everybody who does so on one door, together.

In: a run. Out: looks at it, each time that it moved. A look reads the bus in the event loop, so whoever follows takes
turns: all of them together take a `SHARE` of the time, however many they are, and requests are answered between them.
A look that was very slow is not paid for in full: the next one comes after `PAUSE` seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import Receive

from stepwire.errors import BusError
from stepwire_handlers.services.door.limits import Shares
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.runs import RunView

REFRESH = 1.0  #: seconds after which a run is looked at again although nothing was written to it: timers become due
WAITERS, EACH = 500, 100  #: requests that wait at once, and of one caller; who comes then gets the run as it is
SHARE = 1 / 4  #: of the time
BURST = 0.02  #: seconds of looks without a pause between them
PAUSE = 1.0  #: seconds between two looks at most: in them others are served, and nobody needs longer


class Rest:
    """Waits for runs to come to rest; one for a door."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.shares = Shares(WAITERS, EACH)
        self._turn = asyncio.Lock()  # first come, first served
        self._owed = 0.0  #: until when those who follow have had their share

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One look at the bus, without an `await` in it."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if (owed := self._owed - loop.time()) > BURST and not self.stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(owed):
                        await self.stopping.wait()
            begun = loop.time()
            try:
                yield
            finally:
                now = loop.time()
                self._owed = min(max(self._owed, begun) + (now - begun) / SHARE, now + PAUSE)

    async def of(self, place: Place, run: str, seconds: float, receive: Receive, who: str = "") -> RunView:
        """The run once it has its result or waits for a person; or as it is when time is up, or the door stops.

        `receive` tells when whoever asked goes away: for them nothing is looked at any more. `who` is whose share of
        waits it takes.
        """
        looking = asyncio.create_task(self._last(place, run, seconds, who))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({looking, gone}, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if looking.done() else RunView(run)
        finally:
            for task in (looking, gone):
                task.cancel()
            await asyncio.gather(looking, gone, return_exceptions=True)

    async def _last(self, place: Place, run: str, seconds: float, who: str) -> RunView:
        return [view async for view in self.looks(place, run, seconds, who)][-1]

    async def looks(self, place: Place, run: str, seconds: float, who: str = "") -> AsyncGenerator[RunView, None]:
        """The run each time that it moved; the last one is what `of` answers."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (seconds if self.shares.has_room(who) else 0.0)
        with self.shares.taken(who):
            while True:
                async with self.turn():
                    mark, view = place.history.mark(run), place.runs.view(run)
                yield view
                if view.result is not None or view.state == "completed" or view.rests:
                    return
                if self.stopping.is_set() or loop.time() >= end:
                    return
                await self.moved(place, run, mark, min(end, loop.time() + REFRESH))

    async def moved(self, place: Place, run: str, mark: tuple[int, int], end: float) -> None:
        """Return when a run has another record, at `end` (the loop's time), or when the door stops."""
        loop = asyncio.get_running_loop()
        while not self.stopping.is_set() and (left := end - loop.time()) > 0:
            await place.watch.moved(left)
            if loop.time() >= end:
                return
            try:
                async with self.turn():
                    now = place.history.mark(run)
            except BusError:
                continue  # locked just now; the next look may come through
            if now != mark:
                return

    def stop(self, places: Places) -> None:
        """Answer everybody who waits."""
        self.stopping.set()
        for place in places.all:
            place.watch.stir()


async def _gone(receive: Receive) -> None:
    """Return once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
