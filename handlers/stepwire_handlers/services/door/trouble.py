"""What keeps a door or a console from serving is said in its log: callers hear 503, and nothing of a disk.

In: errors that ended requests. Out: one line for each cause, again every `EVERY` seconds while it lasts; and whether
the file of a bus was found damaged, which no waiting mends. What errors of bus and blob store say names files, brokers
and cures, nothing of a request.
"""

from __future__ import annotations

import logging
import sqlite3
import time

from stepwire.bus.sqlite_errors import meaning
from stepwire.errors import BusCorrupt, BusError, Signal

EVERY = 10.0  #: seconds until the same is said again
CAUSES = 100  #: that are remembered


class Trouble:
    """One for each application.

    Args:
        who: how its lines begin.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._said: dict[str, float] = {}
        self.damaged = False  #: is a bus file not what it should be?

    def of(self, error: Exception) -> None:
        """Tell of an error, if it is one of bus or blob store."""
        if isinstance(error, sqlite3.Error):
            error = meaning(error, "read", "the file of the bus")
        if not isinstance(error, BusError | Signal):
            return
        self.damaged = self.damaged or isinstance(error, BusCorrupt)
        now, text = time.monotonic(), str(error)
        if now - self._said.get(text, -EVERY) < EVERY:
            return
        if len(self._said) >= CAUSES:
            self._said.clear()
        self._said[text] = now
        logging.getLogger("stepwire").error("%s: %s: %s", self._who, type(error).__name__, text)
