"""Long looks at a bus, in a thread and over a connection of their own: events go on coming in meanwhile.

In: places, and what is to be read of each. Out: what it came to. One look at a time, so that callers who list again and
again share one core's time and no more. Raises BusUnavailable, BusCorrupt.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.sqlite_errors import meaning
from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.tally import reader

T = TypeVar("T")
Look = Callable[[App, LocalBus], T]


class Aside:
    """Looks, one after another; make one for what may take long, another for what must not wait behind it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def look(self, places: Sequence[Place], look: Look[T]) -> list[T]:
        """What a look at each place comes to."""
        async with self._turn:
            if any(place.bus.path == ":memory:" for place in places):
                return _looks(places, look)
            return await asyncio.to_thread(_looks, places, look)


def _looks(places: Sequence[Place], look: Look[T]) -> list[T]:
    found = []
    for place in places:
        bus = reader(place.bus)
        try:
            found.append(look(place.app, bus))
        except sqlite3.Error as error:
            raise meaning(error, "read", "the bus") from error
        finally:
            if bus is not place.bus:
                bus.store.close()
    return found
