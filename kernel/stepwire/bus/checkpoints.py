"""Checkpoints of the local bus: move the write-ahead log into the file before it grows long.

Copying pages and waiting for the disk happens in a thread with a connection of its own, so that the loop goes on. Only
the remainder, what was committed meanwhile, is copied in the loop; then the log begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

from stepwire.bus.sqlite import Store

PAUSE = 0.25  #: seconds between two looks at the size of the log
SIZE = 32 * 1024 * 1024  #: bytes; a longer log is moved into the file


class Checkpoints:
    """Keeps the log of one file short."""

    def __init__(self, path: str) -> None:
        self._path, self._log = path, Path(path + "-wal")
        self._running = threading.Lock()
        self._closing = False

    async def run(self, store: Store) -> None:
        """Look now and then, until cancelled."""
        while not self._closing:
            await asyncio.sleep(PAUSE)
            if (self._log.stat().st_size if self._log.exists() else 0) > SIZE:
                # Shielded: a cancelled task would leave the thread alone, still in the file that is being closed.
                await asyncio.shield(asyncio.to_thread(self._copy))
                with contextlib.suppress(sqlite3.Error):  # busy or full: the log just grows until the next time
                    store.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _copy(self) -> None:
        with self._running, contextlib.suppress(sqlite3.Error):
            if self._closing:
                return
            connection = sqlite3.connect(self._path, isolation_level=None)
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                connection.close()

    async def close(self) -> None:
        """Return once no checkpoint is under way, and let none begin."""
        self._closing = True
        await asyncio.to_thread(self._running.acquire)
        self._running.release()
