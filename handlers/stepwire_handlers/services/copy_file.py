"""The file of a copy, which several processes follow into: it is taken from under none of them.

In: its path. Out: a share of it, held by a lock of the operating system, which goes with its process. Only who holds
the one share there is may make the file anew.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from stepwire.errors import BusUnavailable

MAKING = 10.0  #: seconds to wait for a process that makes the file anew just now
PAUSE = 0.01  #: seconds between two tries


class CopyFile:
    """A share of the file; `take` it before the file is opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = -1
        self._is: tuple[int, int] | None = None  #: which file was opened

    async def take(self) -> None:
        """Wait for a share. Raises BusUnavailable."""
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise BusUnavailable(f"cannot open {self.path}.lock: {error.strerror}; give another folder") from error
        until = asyncio.get_running_loop().time() + MAKING
        while not self._locked(fcntl.LOCK_SH):
            if asyncio.get_running_loop().time() > until:
                raise BusUnavailable(f"another process makes {self.path} anew, and does not end; end it, and try again")
            await asyncio.sleep(PAUSE)

    def _locked(self, how: int) -> bool:
        try:
            fcntl.flock(self._lock, how | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def opened(self) -> None:
        """The file was opened: from now on it must be the one that is there."""
        self._is = self._there()

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

    def delete(self) -> None:
        """So that it can be made anew. Raises BusUnavailable while others use it."""
        if not self._locked(fcntl.LOCK_EX):
            raise BusUnavailable(
                f"{self.path} follows topics that were deleted since, and other processes look at them through it: "
                f"end them (a door, a console), then try again"
            )
        for suffix in ("", "-wal", "-shm"):
            Path(self.path + suffix).unlink(missing_ok=True)

    def share(self) -> None:
        """It is there again: others may use it too."""
        self._locked(fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the share back."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
