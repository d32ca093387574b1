"""What the blob store asks of a place where bytes can lie; `folder` and `s3` are the two there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import IO, Protocol

from stepwire.errors import Signal


class Place(Protocol):
    """Where the bytes lie; knows nothing of limits and verification.

    `read` and `renew` raise FileNotFoundError if there is no such blob.
    """

    where: str  #: for messages; holds no secret
    drafts: str  #: the folder that drafts lie in, for messages

    async def start(self) -> None:
        """Make it ready; raises SettingsError if it cannot be used as configured."""

    def draft(self) -> IO[bytes]:
        """A new empty file for bytes whose hash is not known yet. Blocks: called in a thread."""

    def discard(self, draft: IO[bytes]) -> None:
        """Let go of a draft, kept or not. Blocks: called in a thread."""

    async def keep(self, draft: IO[bytes], key: str, media_type: str) -> None:
        """Make the draft the blob `key`, in one step, with a fresh lease."""

    def read(self, key: str) -> AsyncGenerator[bytes]:
        """The bytes of a blob, in pieces."""

    async def renew(self, key: str) -> None:
        """Let the lease of a blob begin anew."""

    async def expire(self, older_than: float) -> int:
        """Delete the blobs whose lease began more than `older_than` seconds ago; returns how many."""

    def classify(self, error: Exception) -> Signal | None:
        """What an error of the client library means; None if it is not one."""
