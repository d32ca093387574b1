"""The file of a copy, which several processes follow into: it is taken from under none of them.

In: its path. Out: a share of it, held by a lock of the operating system, which goes with its process. Only who holds
the one share there is may make the file anew.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from stepwire.errors import BusUnavailable

PATIENCE = 5.0  #: seconds to wait for a process that makes the file, or for those to go that use it
PAUSE = 0.01  #: seconds between two tries


class CopyFile:
    """A share of the file: `take` it before the file is opened, `share` it with others once it is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = -1
        self._is: tuple[int, int] | None = None  #: which file was opened

    async def take(self) -> None:
        """Wait for a share; alone, if there is no file yet, until it is made. Raises BusUnavailable."""
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDONLY | os.O_CREAT, 0o644)
        except OSError as error:
            raise BusUnavailable(f"cannot open {self.path}.lock: {error.strerror}; give another folder") from error
        if self._there() is None and self._locked(fcntl.LOCK_EX):
            return
        busy = f"another process makes {self.path} and does not end; end it, and try again"
        await self._until(lambda: self._locked(fcntl.LOCK_SH), busy)

    async def delete(self) -> None:
        """So that it can be made anew; another process may do that, too. Raises BusUnavailable while others use it."""
        used = (
            f"{self.path} follows topics that were deleted since, and other processes look at them through it: end "
            f"them (a door, a console), then try again"
        )
        await self._until(self._deleted, used)

    def _deleted(self) -> bool:
        # Two who want it anew would wait for each other's share for ever, so it is given back before more is asked for.
        # Then whoever comes first makes it, and the other one finds another file there.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        if self._there() != self._is:
            return self._locked(fcntl.LOCK_SH)
        if not self._locked(fcntl.LOCK_EX):
            return False
        if self._there() == self._is:
            for suffix in ("", "-wal", "-shm"):
                Path(self.path + suffix).unlink(missing_ok=True)
        return True

    async def _until(self, done: Callable[[], bool], why: str) -> None:
        until = asyncio.get_running_loop().time() + PATIENCE
        while not done():
            if asyncio.get_running_loop().time() > until:
                raise BusUnavailable(why)
            await asyncio.sleep(PAUSE)

    def _locked(self, how: int) -> bool:
        try:
            fcntl.flock(self._lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise BusUnavailable(
                f"cannot lock {self.path}.lock: {error.strerror}; give a folder of a local disk"
            ) from error
        return True

    def share(self) -> None:
        """The file was opened: others may use it too, and from now on it must be the one that is there."""
        self._is = self._there()
        self._locked(fcntl.LOCK_SH)

    def check(self) -> None:
        """Raises BusUnavailable if the file was deleted, or is another one: what is written would be seen by nobody."""
        if self._is != self._there():
            raise BusUnavailable(f"{self.path} was deleted while it was in use; start this process again")

    def _there(self) -> tuple[int, int] | None:
        try:
            found = Path(self.path).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Give the share back."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
