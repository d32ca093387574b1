"""A door counts the runs of its apps, beside its requests.

In: places. Out: what `tally` says, in the door's metrics, every few seconds. Looks are made in a thread, over a
connection of their own, and take at most a tenth of the time, however much is open: answers do not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stepwire.bus.local import LocalBus
from stepwire_handlers.services.door.measures import Measures
from stepwire_handlers.services.door.places import Places
from stepwire_handlers.services.tally import Tally, Teller, reader

LOOK = 5.0  #: seconds between two looks; a scrape comes every 15 to 30
SHARE = 10  #: a look that took a second is followed by ten of rest


@asynccontextmanager
async def counting(places: Places, measures: Measures) -> AsyncIterator[None]:
    """Count while the context is open."""
    readers: dict[int, LocalBus] = {}
    for place in places.all:
        if id(place.bus) not in readers:
            readers[id(place.bus)] = reader(place.bus)
    tellers = {place.app.name: Teller(place.app, readers[id(place.bus)]) for place in places.all}
    task = asyncio.create_task(_count(tellers, measures, own=all(bus.path != ":memory:" for bus in readers.values())))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for teller in tellers.values():
            with contextlib.suppress(sqlite3.Error):  # of a broken bus nothing has to be given back
                teller.close()
        for place in places.all:
            own = readers.pop(id(place.bus), place.bus)
            if own is not place.bus:
                own.store.close()


async def _count(tellers: dict[str, Teller], measures: Measures, *, own: bool) -> None:
    loop, said = asyncio.get_running_loop(), set[str]()
    while True:
        begun = loop.time()
        for app, teller in tellers.items():
            try:
                # shielded: the connection must not be closed under a look that nobody waits for any more
                measures.runs(app, await _unbroken(teller) if own else teller.look(), teller.took)
            except Exception as error:  # noqa: BLE001 - who counts must not end the door
                measures.runs(app, None)  # of a bus that is away /readyz tells too, of a full /tmp nobody else
                _say(app, error, said)
        await asyncio.sleep(max(LOOK, SHARE * (loop.time() - begun)))


def _say(app: str, error: Exception, said: set[str]) -> None:
    """Once for each app and kind of error, without the error's text, which may quote an event."""
    what = f"counting the runs of {app} failed: {type(error).__name__}"
    if what not in said:
        said.add(what)
        logging.getLogger("stepwire").error("%s", what)


async def _unbroken(teller: Teller) -> Tally:
    """A look in a thread; a cancellation waits for its end."""
    looking = asyncio.ensure_future(asyncio.to_thread(teller.look))
    try:
        return await asyncio.shield(looking)
    except asyncio.CancelledError:
        await asyncio.gather(looking, return_exceptions=True)
        raise
