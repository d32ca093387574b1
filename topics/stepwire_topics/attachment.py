"""Attachment: how an event speaks of a file that it does not carry.

An event holds what identifies a file: the hash of its bytes, their number, what kind of file it is and what
people call it. The bytes themselves lie in the blob store, put there before the event is published; whoever
gets the event asks the store for them by this value. Two files of the same bytes are one blob, whatever
their names.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _bare(name: str) -> str:
    """A name may be shown and offered for download, so it must not be able to point anywhere."""
    if "/" in name or "\\" in name or name in {".", ".."} or not name.isprintable():
        raise ValueError("not a bare file name: leave out folders and control characters")
    return name


class Attachment(BaseModel):
    """One file in the blob store.

    Attributes:
        sha256: SHA-256 of the bytes, 64 lower-case hexadecimal digits; also the blob's key in the store.
        size: length of the file in bytes.
        media_type: what kind of file it is, as in HTTP's `Content-Type`.
        name: what people call the file, without a folder; empty if it has no name.
    """

    model_config = ConfigDict(frozen=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    media_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+(;.*)?$", max_length=255)] = "application/octet-stream"
    name: Annotated[str, Field(max_length=255), AfterValidator(_bare)] = ""
