"""The blob store as a resource: bytes in, an `Attachment` out; an `Attachment` in, bytes out.

Promises:
    - A blob is stored under the SHA-256 of its bytes: putting it again changes nothing but its lease, and
      heals it.
    - It is there whole or not at all, whatever is killed in between.
    - What `get` returns has the hash that the attachment names; anything else is a `Reject`, never wrong
      bytes.
    - A blob whose lease has not run out is not deleted. The lease begins at `put` and again at every
      `renew`.

A failure that a repeat may heal is raised as `Transient` or `RetryLater`, one that it cannot heal as
`Reject`; for the errors of a client library `classify` says which it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeAlias

import anyio
from anyio.to_thread import run_sync

from stepwire.errors import Reject, Signal
from stepwire_handlers.blobs.disk import writing
from stepwire_handlers.blobs.place import Place
from stepwire_topics.attachment import Attachment

Source: TypeAlias = bytes | bytearray | memoryview | Path | AsyncIterable[bytes]

MAX_BYTES = 32 * 1024 * 1024  #: what a model provider takes as one document; more is nearly always a mistake
CHUNK = 1024 * 1024  #: bytes per hop to a worker thread: large enough that the hop costs nothing


class BlobStore:
    """Content-addressed storage of files. Made by `blob_store`; open only inside `async with`.

    Args:
        place: where the bytes lie.
        max_bytes: the largest file that `put` takes.
    """

    def __init__(self, place: Place, max_bytes: int = MAX_BYTES) -> None:
        self._place, self._max_bytes = place, max_bytes

    async def __aenter__(self) -> Self:
        await self._place.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held between two calls, so there is nothing to let go of."""

    def __repr__(self) -> str:
        return f"BlobStore({self._place.where})"

    def classify(self, error: Exception) -> Signal | None:
        """What an exception of the store's client library means; None for everything else."""
        return self._place.classify(error)

    async def put(
        self, source: Source, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> Attachment:
        """Store a file; when this returns, it is durable.

        Args:
            source: the bytes, a path to read them from, or an async iterator of them.
            media_type: what kind of file it is, as in HTTP's `Content-Type`.
            name: what people call it; by default the path's last part, else empty.

        Raises:
            ValueError: `name` is not a bare file name, or `media_type` is none.
            Reject: it is larger than the store's limit.
            RetryLater: the disk is full.
            Transient: it could not be written for another reason.
        """
        if name is None:
            name = source.name if isinstance(source, Path) else ""
        # refuses a bad name or media type before anything is written
        said = Attachment(sha256="0" * 64, size=0, media_type=media_type, name=name)
        draft = await run_sync(self._place.draft)
        try:
            key, size = await self._fill(draft, source)
            await self._place.keep(draft, key, media_type)
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(self._place.discard, draft)
        return said.model_copy(update={"sha256": key, "size": size})

    async def get(self, attachment: Attachment) -> bytes:
        """The bytes of a file, verified.

        Raises:
            Reject: there is no such blob, or its bytes are not those that were put.
        """
        async with self.open(attachment) as chunks:
            return b"".join([chunk async for chunk in chunks])

    @asynccontextmanager
    async def open(self, attachment: Attachment) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a file in pieces, for files that should not be in memory whole.

        Only who has read to the end knows that the bytes are right: a damaged blob is found at its last
        piece.

        Raises:
            Reject: as for `get`, from the iterator.
        """
        async with aclosing(self._verified(attachment)) as chunks:
            yield chunks

    async def renew(self, attachment: Attachment) -> None:
        """Let the lease begin anew, as publishing an event with this attachment does.

        Raises:
            Reject: there is no such blob (any more).
        """
        try:
            await self._place.renew(attachment.sha256)
        except FileNotFoundError:
            raise self._missing(attachment) from None

    async def expire(self, older_than_seconds: float) -> int:
        """Delete what was neither put nor renewed for so long.

        Args:
            older_than_seconds: longer than any event that names a blob is kept, replays included.

        Returns:
            How many blobs were deleted.
        """
        return await self._place.expire(older_than_seconds)

    async def _fill(self, draft: IO[bytes], source: Source) -> tuple[str, int]:
        hashed, size = sha256(), 0

        def add(chunk: bytes | memoryview) -> None:
            hashed.update(chunk)
            with writing(self._place.drafts):
                draft.write(chunk)

        async with aclosing(_pieces(source)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > self._max_bytes:
                    raise Reject(
                        f"the file is larger than the {self._max_bytes} bytes that {self._place.where} "
                        "takes: send a smaller one or raise the store's max_bytes"
                    )
                await run_sync(add, piece)
        return hashed.hexdigest(), size

    async def _verified(self, attachment: Attachment) -> AsyncGenerator[bytes]:
        hashed, size = sha256(), 0
        try:
            async with aclosing(self._place.read(attachment.sha256)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    hashed.update(chunk)
                    if size > attachment.size:
                        break
                    yield chunk
        except FileNotFoundError:
            raise self._missing(attachment) from None
        if size != attachment.size or hashed.hexdigest() != attachment.sha256:
            raise Reject(
                f"blob {attachment.sha256} in {self._place.where} is damaged: it is not the "
                f"{attachment.size} bytes that were stored. Put the file again, then replay"
            )

    def _missing(self, attachment: Attachment) -> Reject:
        return Reject(
            f"blob {attachment.sha256} is not in {self._place.where}: it was never put there, or its lease "
            "ran out, or it was put elsewhere: STEPWIRE_BLOBS names one place for all who publish and work. "
            "Put the file again, then replay"
        )


async def _pieces(source: Source) -> AsyncGenerator[bytes | memoryview]:
    if isinstance(source, Path):
        async with await anyio.open_file(source, "rb") as file:
            while chunk := await file.read(CHUNK):
                yield chunk
    elif isinstance(source, AsyncIterable):
        async for chunk in source:
            yield chunk
    else:
        view = memoryview(source).cast("B")
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]
