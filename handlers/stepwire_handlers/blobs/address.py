"""From the address of a blob store to the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from stepwire.errors import SettingsError
from stepwire_handlers.blobs.folder import Folder
from stepwire_handlers.blobs.place import Place
from stepwire_handlers.blobs.store import MAX_BYTES, BlobStore


def blob_store(url: str | Path, *, max_bytes: int = MAX_BYTES, now: Callable[[], float] = time.time) -> BlobStore:
    """The blob store at an address.

    Args:
        url: a folder, as a path or `file:///path`; or
            `s3://bucket/prefix?endpoint=http://…&region=…`, all but the bucket optional.
        max_bytes: the largest file that it takes.
        now: seconds since the epoch, for leases.

    Raises:
        SettingsError: the address is of no known kind, or the library for it is missing.
    """
    if isinstance(url, Path) or "://" not in url:
        return BlobStore(Folder(Path(url).absolute(), now), max_bytes)
    parts = urlsplit(url)
    if parts.scheme == "file":
        return BlobStore(Folder(_path(parts), now), max_bytes)
    if parts.scheme == "s3":
        return BlobStore(_bucket(parts, now), max_bytes)
    raise SettingsError(f"no blob store of the kind {parts.scheme}:// is known: use file:///path or s3://bucket/prefix")


def _path(parts: SplitResult) -> Path:
    if parts.netloc not in {"", "localhost"} or parts.path in {"", "/"} or parts.query:
        raise SettingsError("a folder for blobs is written file:///path, with three slashes and nothing after the path")
    return Path(unquote(parts.path))


def _bucket(parts: SplitResult, now: Callable[[], float]) -> Place:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not parts.hostname or parts.username or set(options) - {"endpoint", "region"}:
        raise SettingsError(
            "a bucket for blobs is written s3://bucket/prefix?endpoint=http://…&region=…; "
            "credentials come from the environment, never from the address"
        )
    from stepwire_handlers.blobs.s3 import Bucket  # noqa: PLC0415 - an optional library

    return Bucket(parts.netloc, parts.path.strip("/"), options.get("endpoint"), options.get("region"), now)
