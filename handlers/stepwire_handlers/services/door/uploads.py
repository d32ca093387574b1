"""`POST /apps/<app>/<type>`: an event's fields as JSON, as a form with files, or one file as the body.

In: a request and an event type. Out: the fields, files put into the blob store before. Files go through in pieces; a
form's are spooled to the disk while its other parts are read. Raises Problem: 400, 408, 413, 415, 422, 503.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, get_args, get_origin

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from stepwire import Event
from stepwire.codec import JSON
from stepwire.errors import Reject
from stepwire_handlers.blobs import BlobStore
from stepwire_handlers.services.door.bodies import LESS, an_object, is_json, media_type, parsed, pieces, whole
from stepwire_handlers.services.door.nowhere import no_store
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.fields import unknown
from stepwire_topics.attachment import Attachment

FORM = "multipart/form-data"
UNSAID = "application/x-www-form-urlencoded"  #: what curl says of a file if nobody says more
BODY = 1024 * 1024  #: bytes of JSON; what is larger belongs into a file
FIELDS = 100  #: parts of a form without a file
FILES = 20  #: files of a form
CHUNK = 256 * 1024
MORE = "this door takes no larger ones; whoever runs it may allow them (--max-upload)"
NAMED = re.compile(r'filename="((?:[^"\\]|\\.)*)"|filename=([^\s;]+)')


async def fields_of(request: Request, kind: type[Event], blobs: BlobStore, max_bytes: int) -> dict[str, Any]:
    """The fields of the event; files as attachments."""
    media, files = media_type(request), attachment_fields(kind)
    if is_json(media):
        cure = f"large content goes into {', '.join(files)}, as a file" if files else LESS
        return an_object(parsed(await whole(request, BODY, cure)))
    if not files:
        raise _no_file(kind, JSON)
    if media == FORM:
        return await _form(request, kind, blobs, max_bytes)
    if not media or media == UNSAID:
        raise _no_file(
            kind, f"{JSON}, {FORM}, */*", f"; a file alone under its own type, such as application/pdf, not {UNSAID}"
        )
    if len(files) > 1:
        raise Problem(
            415, "unsupported-media-type", f"send a form: there are {', '.join(files)}", headers={"accept-post": FORM}
        )
    ((name, many),) = files.items()
    body = full(pieces(request, max_bytes, MORE), name)
    stored = await put(blobs, body, media, _file_name(request), max_bytes)
    return {name: [stored] if many else stored}


def attachment_fields(kind: type[Event]) -> dict[str, bool]:
    """Fields that hold a file, and whether they hold several."""
    found = {}
    for name, info in kind.model_fields.items():
        if _holds(info.annotation):
            found[info.alias or name] = get_origin(info.annotation) in (list, tuple)
    return found


def _holds(annotation: Any) -> bool:
    return annotation is Attachment or any(_holds(inner) for inner in get_args(annotation))


def _no_file(kind: type[Event], accepted: str, more: str = "") -> Problem:
    said = f"{kind.__name__} is sent as {accepted.removesuffix(', */*')}{more}"
    return Problem(415, "unsupported-media-type", said, headers={"accept-post": accepted})


def _file_name(request: Request) -> str:
    """What Content-Disposition calls the file."""
    said = NAMED.search(request.headers.get("content-disposition", ""))
    return bare(said[1] or said[2] or "") if said else ""


def bare(name: str) -> str:
    """A name without the folders that some clients send, nor anything that cannot be shown."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:255] if last not in (".", "..") else ""


async def full(source: AsyncIterator[bytes], field: str) -> AsyncIterator[bytes]:
    """The same, which must have a byte: an empty file is an upload that went wrong. Raises Problem 422."""
    empty = True
    async for piece in source:
        empty = empty and not piece
        yield piece
    if empty:
        fault = {"pointer": f"/{field}", "reason": "the file is empty"}
        raise Problem(422, "invalid", f"the file of {field} is empty; nothing was published", errors=[fault])


async def put(blobs: BlobStore, source: AsyncIterator[bytes], media: str, name: str, max_bytes: int) -> dict[str, Any]:
    """Store one file; its attachment. Raises Problem: 413, 415, 503."""
    try:
        stored = await blobs.put(source, media_type=media, name=name)
    except ValueError:
        raise Problem(415, "unsupported-media-type", "the file's media type is none") from None
    except Reject:
        raise Problem(413, "too-large", f"the file is above {max_bytes} bytes; {MORE}", limit=max_bytes) from None
    except Problem:
        raise
    except Exception as error:
        if (signal := blobs.classify(error)) is not None:
            raise signal from None
        raise
    return stored.model_dump()


# -- forms


async def _form(request: Request, kind: type[Event], blobs: BlobStore, max_bytes: int) -> dict[str, Any]:
    files = attachment_fields(kind)
    stream = pieces(request, max_bytes + BODY, MORE)
    try:
        form = await MultiPartParser(
            request.headers,
            stream,
            max_files=FILES,
            max_fields=FIELDS,
            max_part_size=BODY,
        ).parse()
    except Problem as problem:
        if problem.status == 413 and not max_bytes:
            raise no_store() from None  # so large a form has a file
        raise
    except MultiPartException as error:
        raise Problem(400, "bad-form", f"the form cannot be read: {error.message}") from None
    except (KeyError, UnicodeError, LookupError, ValueError):
        raise Problem(400, "bad-form", "the form cannot be read: it has no boundary, or a broken one") from None
    found: dict[str, Any] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and unknown(kind, [name]):
                found[name] = None  # not stored: the name is refused together with whatever else is wrong
            elif isinstance(value, UploadFile):
                await _file(found, name, value, files, blobs, max_bytes)
            elif name in found:
                raise Problem(422, "invalid", f"the form has a field twice: {name[:100]!r}")
            else:
                found[name] = value
    finally:
        await form.close()
    return found


async def _file(
    found: dict[str, Any], name: str, file: UploadFile, files: dict[str, bool], blobs: BlobStore, max_bytes: int
) -> None:
    if not file.filename and not file.size:
        return  # a browser's field for a file in which none was chosen
    if name not in files:
        raise Problem(422, "invalid", f"no file belongs there; files go into {', '.join(files)}")
    if name in found and not files[name]:
        raise Problem(422, "invalid", f"{name} takes one file")

    async def read() -> AsyncIterator[bytes]:
        while piece := await file.read(CHUNK):
            yield piece

    media = (file.content_type or "application/octet-stream").partition(";")[0].strip()
    stored = await put(blobs, full(read(), name), media, bare(file.filename or ""), max_bytes)
    found[name] = [*found.get(name, []), stored] if files[name] else stored
