"""Files that a call carries: a field that holds an attachment also takes the file itself, in Base64.

In: arguments. Out: the same, files put into the blob store. Raises Problem: 413, 415, 422, 503.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any

from stepwire import Event
from stepwire_handlers.blobs import BlobStore
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.uploads import attachment_fields, bare, put

CONTENT = "base64"
KNOWN = {CONTENT, "media_type", "name"}


async def stored(kind: type[Event], fields: dict[str, Any], blobs: BlobStore, max_bytes: int) -> dict[str, Any]:
    """The fields with attachments in place of files."""
    found = dict(fields)
    for name in attachment_fields(kind):
        value = found.get(name)
        if isinstance(value, list):
            found[name] = [await _one(name, item, blobs, max_bytes) for item in value]
        elif name in found:
            found[name] = await _one(name, value, blobs, max_bytes)
    return found


async def _one(field: str, value: Any, blobs: BlobStore, max_bytes: int) -> Any:
    if not isinstance(value, dict) or CONTENT not in value:
        return value
    media, name = value.get("media_type", "application/octet-stream"), value.get("name", "")
    texts = (value[CONTENT], media, name)
    if not {*value} <= KNOWN or not all(isinstance(text, str) for text in texts):
        raise _wrong(field, "a file is base64, media_type and name, all of them texts")
    if max_bytes and len(value[CONTENT]) > max_bytes * 4 // 3 + 4:
        raise Problem(413, "too-large", f"the file is above {max_bytes} bytes", limit=max_bytes)
    try:
        data = base64.b64decode(value[CONTENT], validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(field, "base64 is no Base64") from None

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    return await put(blobs, pieces(), media, bare(name), max_bytes)


def _wrong(field: str, why: str) -> Problem:
    return Problem(422, "invalid", "the file cannot be taken", errors=[{"pointer": f"/{field}", "reason": why}])
