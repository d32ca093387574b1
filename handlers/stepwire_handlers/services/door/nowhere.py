"""Where a door without a blob store puts files: nowhere, so that none is answered for that no worker could read.

In: any file. Out: Problem 503 that says what is missing, before a byte of it is kept. Everything else is served.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import IO

from stepwire.errors import Signal
from stepwire_handlers.services.door.problems import Problem

WHY = (
    "files are not taken here: there is no blob store that workers read them from, so nothing was published; "
    "whoever runs the door names one (setting blobs; in the Helm chart blobs.url) and --max-upload"
)


def no_store() -> Problem:
    """503, without Retry-After: only whoever runs the door can change it."""
    return Problem(503, "no-blob-store", WHY)


class Nowhere:
    """A place for blobs that takes none."""

    where = drafts = "nowhere"

    async def start(self) -> None:
        """There is nothing to make ready."""

    def draft(self) -> IO[bytes]:
        """Raises Problem 503."""
        raise no_store()

    def discard(self, draft: IO[bytes]) -> None:
        """There was none."""

    async def keep(self, draft: IO[bytes], key: str, media_type: str) -> None:  # noqa: ARG002 - there is no draft
        """Raises Problem 503."""
        self.draft()

    async def read(self, key: str) -> AsyncGenerator[bytes]:
        """There is no blob."""
        raise FileNotFoundError(key)
        yield b""

    async def renew(self, key: str) -> None:
        """There is no blob."""
        raise FileNotFoundError(key)

    async def expire(self, older_than: float) -> int:  # noqa: ARG002 - there are none
        """Nothing to delete."""
        return 0

    def classify(self, error: Exception) -> Signal | None:  # noqa: ARG002 - there is no client library
        """None: what goes wrong here says what it means."""
        return None
