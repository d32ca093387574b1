"""Blobs in a folder: a file per blob, named by its hash, modified when its lease began.

How a blob comes to be there whole or not at all:
    1. the bytes go to a draft in the same folder (`.draft-…`, readable by the owner alone),
    2. the draft is forced to disk,
    3. it is renamed to its hash, over an older file of the same name if there is one,
    4. the folder is forced to disk.
Killed before 3 it leaves a draft, which nobody reads and which `expire` sweeps away.

Deleting looks at the lease and then unlinks; a lock file makes that one step against renewing and against
3. It works between processes of one machine, and on network file systems that support `flock`.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from anyio.to_thread import run_sync

from stepwire.errors import SettingsError, Signal
from stepwire_handlers.blobs.disk import writing

CHUNK = 1024 * 1024  #: bytes per hop to a worker thread: large enough that the hop costs nothing
DRAFT = ".draft-"
DRAFT_SECONDS = 3600.0  #: a draft that nobody wrote to for an hour belongs to a process that died
BLOB = re.compile(r"[0-9a-f]{64}")


class Folder:
    """A folder of blobs.

    Args:
        root: the folder; made if missing. All workers that share it see the same blobs.
        now: seconds since the epoch.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self.root, self._now = root, now
        self.where = self.drafts = str(root)

    async def start(self) -> None:
        """Make the folder; raises SettingsError if it cannot be made or written."""
        await run_sync(self._start)

    def draft(self) -> IO[bytes]:
        """A new file beside the blobs, so that renaming it is one step."""
        with writing(self.drafts):
            return tempfile.NamedTemporaryFile(dir=self.root, prefix=DRAFT, delete=False)

    def discard(self, draft: IO[bytes]) -> None:
        """Close the draft and delete what is left of it: nothing, if it was kept. Blocks."""
        with suppress(OSError):  # closing writes what is buffered, and the disk may be full
            draft.close()
        Path(draft.name).unlink(missing_ok=True)

    async def keep(self, draft: IO[bytes], key: str, media_type: str) -> None:  # noqa: ARG002 - a file has none
        """Force the draft to disk and rename it to `key`."""
        await run_sync(self._keep, draft, key)

    async def read(self, key: str) -> AsyncGenerator[bytes]:
        """The bytes of a blob, in pieces."""
        file = await run_sync((self.root / key).open, "rb")
        with file:
            while chunk := await run_sync(file.read, CHUNK):
                yield chunk

    async def renew(self, key: str) -> None:
        """Set the file's modification time."""
        await run_sync(self._renew, key)

    async def expire(self, older_than: float) -> int:
        """Unlink blobs whose lease ran out, and forgotten drafts."""
        return await run_sync(self._expire, older_than)

    def classify(self, error: Exception) -> Signal | None:  # noqa: ARG002 - a folder has no client library
        """None: what can go wrong here is raised as what it means."""
        return None

    def _start(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._locked(fcntl.LOCK_SH), tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise SettingsError(
                f"the blob store's folder {self.root} cannot be used: {error.strerror or error}. "
                "Name a folder that may be written"
            ) from error

    def _keep(self, draft: IO[bytes], key: str) -> None:
        now = self._now()
        with writing(self.drafts):
            draft.flush()
            os.utime(draft.fileno(), (now, now))
            os.fsync(draft.fileno())
            with self._locked(fcntl.LOCK_SH):
                Path(draft.name).rename(self.root / key)
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _renew(self, key: str) -> None:
        now = self._now()
        with self._locked(fcntl.LOCK_SH):
            os.utime(self.root / key, (now, now))

    def _expire(self, older_than: float) -> int:
        now, deleted = self._now(), 0
        with os.scandir(self.root) as entries:
            for entry in entries:
                if entry.name.startswith(DRAFT):
                    self._unlink(entry.name, now - max(older_than, DRAFT_SECONDS))
                elif BLOB.fullmatch(entry.name):
                    deleted += self._unlink(entry.name, now - older_than)
        return deleted

    def _unlink(self, name: str, before: float) -> bool:
        """Delete one file last touched before a time; the lock keeps it from being touched in between."""
        file = self.root / name
        with self._locked(fcntl.LOCK_EX):
            try:
                if file.stat().st_mtime >= before:
                    return False
                file.unlink()
            except FileNotFoundError:  # another worker sweeps at the same time
                return False
        return True

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with (self.root / ".lock").open("ab") as file:
            fcntl.flock(file, how)
            yield
