"""Blobs in a bucket of S3, or of what speaks its protocol, through `obstore` (extra `s3`).

One object per blob, `<prefix>/<sha256>`; its last modification is the beginning of its lease, so that a
lifecycle rule of the bucket may do what `expire` does. Writing an object is one step by S3's own promise.
S3 refuses to copy an object onto itself, so renewing copies it to a name beside it and back, inside the
store.

Credentials come from where AWS tools look for them (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, roles of
a node or pod), never from the URL. They need `GetObject`, `PutObject` and `DeleteObject`; `expire` also
`ListBucket`, without which S3 answers "denied" instead of "missing" for a blob that is not there.

What S3 cannot promise: there is no lock between `expire` and `renew`. A lease that runs out in the very
moment of being renewed may lose; a lease that has not run out never does.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from secrets import token_hex
from typing import IO

from stepwire.errors import Reject, SettingsError, Signal, Transient

try:
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
    from obstore.store import S3Store
except ImportError as error:
    raise SettingsError("blobs in S3 need the library obstore: install stepwire[s3]") from error

IN_MEMORY = 4 * 1024 * 1024  #: a larger draft goes to the temporary folder
PART = 16 * 1024 * 1024  #: a larger blob goes up in parts; a bucket rule should abort uploads left unfinished
OURS = re.compile(r"[0-9a-f]{64}(\.renewing-[0-9a-f]+)?")  #: a name that `expire` may delete
WRONG = (
    "NoSuchBucket",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
)  #: S3's codes for a wrong configuration


class Bucket:
    """A bucket, or the part of it under a prefix.

    Args:
        bucket: its name; it must exist.
        prefix: put before the keys; empty for none.
        endpoint: address of the service; None for AWS itself.
        region: None for what the environment says.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.where = f"s3://{bucket}/{prefix}".rstrip("/")
        self.drafts = tempfile.gettempdir()
        self._now = now
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            config={
                **({"endpoint": endpoint} if endpoint else {}),
                **({"region": region} if region else {}),
            },
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=30),
            },
            # short: the retries that people see and can set are the handler's
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        )

    async def start(self) -> None:
        """Ask for a key that is not there: the answer tells a wrong bucket or key from a working one.

        A service that cannot be reached is no wrong configuration: its calls are retried like any other.
        """
        try:
            await obstore.get_async(self._store, "0")
        except (FileNotFoundError, BaseError) as error:
            for code in WRONG:
                if code in str(error):
                    raise SettingsError(
                        f"the blob store {self.where} answers {code}: check the bucket's name, the endpoint "
                        "and the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
                    ) from error

    def draft(self) -> IO[bytes]:
        """A file in memory, or in the temporary folder once it is large."""
        return tempfile.SpooledTemporaryFile(IN_MEMORY)

    def discard(self, draft: IO[bytes]) -> None:
        """Close the draft; that deletes it. Blocks."""
        draft.close()

    async def keep(self, draft: IO[bytes], key: str, media_type: str) -> None:
        """Upload the draft as `key`."""
        draft.seek(0)
        try:
            await obstore.put_async(self._store, key, draft, attributes={"Content-Type": media_type}, chunk_size=PART)
        except FileNotFoundError as error:
            raise Reject(
                f"the blob store {self.where} is gone: there is no such bucket. Create it, then replay"
            ) from error

    async def read(self, key: str) -> AsyncGenerator[bytes]:
        """The bytes of a blob, in pieces."""
        answer = await obstore.get_async(self._store, key)
        async for chunk in answer.stream():
            yield bytes(chunk)

    async def renew(self, key: str) -> None:
        """Copy the object away and back."""
        beside = f"{key}.renewing-{token_hex(8)}"
        await obstore.copy_async(self._store, key, beside)
        try:
            await obstore.copy_async(self._store, beside, key)
        finally:
            await obstore.delete_async(self._store, beside)

    async def expire(self, older_than: float) -> int:
        """Delete objects whose lease ran out, and copies that a killed `renew` left."""
        before, deleted = self._now() - older_than, 0
        async for metas in obstore.list(self._store, chunk_size=1000):
            for meta in metas:
                if OURS.fullmatch(meta["path"]) and meta["last_modified"].timestamp() < before:
                    deleted += await self._delete(meta["path"], before)
        return deleted

    def classify(self, error: Exception) -> Signal | None:
        """Refused credentials are for a person, all else of the client library is worth another try."""
        if not isinstance(error, BaseError):
            return None
        said = str(error).partition("\n")[0]  # the rest is the library's own trace
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return Reject(
                f"the blob store {self.where} refused: check the credentials and their rights. It said: {said}"
            )
        return Transient(f"the blob store {self.where} did not answer as it should: {said}")

    async def _delete(self, path: str, before: float) -> bool:
        """Look once more: the list may be minutes old."""
        try:
            if (await obstore.head_async(self._store, path))["last_modified"].timestamp() >= before:
                return False
        except FileNotFoundError:  # another worker sweeps at the same time
            return False
        await obstore.delete_async(self._store, path)
        return True
