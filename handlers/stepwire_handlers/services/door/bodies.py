"""Reading what a caller sends, never more than a limit and never longer than patience lasts.

In: a request and a limit in bytes. Out: its body, whole or in pieces, and JSON read from it. Raises Problem: 413 too
large, 408 too slow, 400 cut off or no JSON, 415 another media type.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from stepwire_handlers.services.door.problems import Problem

IDLE = 30.0  #: seconds between two pieces of a body; who sends slower holds a connection, not an upload
SLOWEST = 1_024  #: bytes a second, all in all: one byte every 29 seconds holds a connection and a draft as well
LESS = "send less at once"


def media_type(request: Request) -> str:
    """The media type without its parameters, in small letters; empty if none is named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Is it JSON by its name?"""
    return media in ("application/json", "text/json") or (media.startswith("application/") and media.endswith("+json"))


def length(request: Request, limit: int, cure: str = LESS) -> int | None:
    """What Content-Length says; refused before anything is read if it is above the limit."""
    said = request.headers.get("content-length")
    if said is None:
        return None
    if not (said.isascii() and said.isdigit()):
        raise Problem(400, "bad-request", "Content-Length is no number")
    if len(said) > 15 or int(said) > limit:
        raise _too_large(limit, cure)
    return int(said)


async def pieces(request: Request, limit: int, cure: str = LESS) -> AsyncGenerator[bytes, None]:
    """The body as it comes in; `cure` says what to do about one that is too large."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":  # the bytes are no file yet
        raise Problem(
            415, "unsupported-media-type", "send the body without Content-Encoding",
            headers={"accept-encoding": "identity"},
        )  # fmt: skip
    length(request, limit, cure)
    got, stream, loop = 0, request.stream().__aiter__(), asyncio.get_running_loop()
    waited = 0.0  #: for the sender alone: a slow disk is no fault of theirs
    while True:
        begun = loop.time()
        try:
            async with asyncio.timeout(IDLE):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(408, "too-slow", f"nothing of the body came for {IDLE:g} s") from None
        except ClientDisconnect:
            raise Problem(400, "bad-request", "the body was cut off") from None
        got += len(piece)
        waited += loop.time() - begun
        if waited > IDLE and got < SLOWEST * waited:
            raise Problem(408, "too-slow", f"the body came with less than {SLOWEST} bytes a second")
        if got > limit:
            raise _too_large(limit, cure)
        if piece:
            yield piece


async def whole(request: Request, limit: int, cure: str = LESS) -> bytes:
    """The body."""
    return b"".join([piece async for piece in pieces(request, limit, cure)])


def _too_large(limit: int, cure: str) -> Problem:
    return Problem(413, "too-large", f"the body is above {limit} bytes; {cure}", limit=limit)


def parsed(body: bytes, what: str = "the body") -> Any:
    """JSON. Raises Problem 400; it does not quote what was sent."""
    if not body:
        raise Problem(400, "bad-json", f"{what} is empty; send JSON")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        place = str(error).rpartition(" at ")[2] if " at " in str(error) else "its beginning"
        raise Problem(400, "bad-json", f"{what} is no JSON: look at {place}") from None


def an_object(value: Any, what: str = "the body") -> dict[str, Any]:
    """A JSON object. Raises Problem 422."""
    if not isinstance(value, dict):
        raise Problem(422, "invalid", f"{what} must be a JSON object: the event's fields by name")
    return value
