"""`GET /runs/<id>/stream`: a run as it happens, as server-sent events; a client that comes back misses nothing.

In: a run, and `Last-Event-ID`. Out: `event` for each event of the run, `state` when that changes, `end` when the run
is completed; then the stream closes, and a client that asks once more gets 204, which ends its asking. The id of each
message is a cursor: for every topic and partition, the last offset that was sent. Within one of them offsets only
grow, so nothing is sent twice or left out, through whichever door.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import Request

from stepwire.bus.protocol import Record
from stepwire.codec import Decoded
from stepwire.errors import BusError, DecodeError
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.rest import REFRESH, Rest
from stepwire_handlers.services.door.runs import shown
from stepwire_handlers.services.written import written
from stepwire_handlers.telemetry.mask import masked

MEDIA = "text/event-stream"
ALIVE = 15.0  #: seconds of silence after which a comment is sent; proxies cut off what says nothing for a minute
IDLE = 10.0  #: seconds until a run is looked at again that has not changed for long
AGAIN = 2_000  #: milliseconds after which a client that lost us comes back
STREAMS, EACH = 1_000, 200  #: streams at once, and of one caller
LIFE = 3_600.0  #: seconds of one stream; its client comes back, and is asked anew who it is
END = "end"  #: at the end of the last cursor
PLACE = re.compile(r"([^:@,]{1,300}):(\d{1,6})@(\d{1,18})")
LONGEST = 16_384  #: characters of a cursor
Cursor = dict[tuple[str, int], int]


def cursor_of(request: Request) -> tuple[Cursor, bool]:
    """What a client has seen, and whether that was the end. Raises Problem 400."""
    text = request.headers.get("last-event-id", "")
    body, _, end = text.partition(";")
    found: Cursor = {}
    for part in filter(None, body.split(",")):
        match = PLACE.fullmatch(part)
        if match is None or len(text) > LONGEST or end not in ("", END):
            raise Problem(
                400, "bad-request", "Last-Event-ID is none that this door gave out; leave it away to begin anew"
            )
        found[unquote(match[1]), int(match[2])] = int(match[3])
    return found, end == END


def _text(cursor: Mapping[tuple[str, int], int], end: str = "") -> str:
    body = ",".join(f"{quote(topic, safe='')}:{part}@{offset}" for (topic, part), offset in sorted(cursor.items()))
    return f"{body};{end}" if end else body


def _message(kind: str, cursor: str, data: Any) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), kind.encode(), written(data))


def life(caller: Caller, now: float) -> float:
    """The seconds that a stream may last: no longer than the token that opened it."""
    return LIFE if caller.until is None else max(min(LIFE, caller.until - now), 0.0)


async def stream(
    place: Place, run: str, seen: Cursor, rest: Rest, welcome: Callable[[], bool] = lambda: True, seconds: float = LIFE
) -> AsyncIterator[bytes]:
    """The messages from `seen` on, until the run is completed, time is up, the door stops or nobody is welcome."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    yield b"retry: %d\n\n" % AGAIN
    said: dict[str, Any] | None = None
    spoke, pause = loop.time(), REFRESH
    while welcome() and not rest.stopping.is_set() and loop.time() < end:
        mark = (-1, -1)
        try:
            async with rest.turn():
                mark, fresh = place.history.mark(run), _fresh(place, run, seen)
                state = shown(place, place.runs.view(run))
        except BusError:
            fresh, state = [], said or {}
        for record in fresh:
            seen[record.topic, record.partition] = record.offset
            if (data := _event(place, record)) is not None:
                yield _message("event", _text(seen), data)
                spoke = loop.time()
        pause = min(2 * pause, IDLE)
        if state != said and state:
            said, spoke, pause = state, loop.time(), REFRESH
            done = state["state"] == "completed"
            yield _message(END if done else "state", _text(seen, END if done else ""), state)
            if done:
                return
        if loop.time() - spoke >= ALIVE:
            spoke = loop.time()
            yield b": alive\n\n"
        await rest.moved(place, run, mark, min(end, loop.time() + pause))


def _fresh(place: Place, run: str, seen: Cursor) -> list[Record]:
    records = place.history.of_run(run)
    return [
        record
        for record in records
        if record.topic in place.codecs and record.offset > seen.get((record.topic, record.partition), -1)
    ]


def _event(place: Place, record: Record) -> dict[str, Any] | None:
    """An event as it is shown; None for a type that this release does not know."""
    try:
        decoded = place.codecs[record.topic].decode(record)
    except DecodeError:
        return {"type": record.headers.get("ce_type", ""), "time": record.time, "handler": "", "data": None}
    if not isinstance(decoded, Decoded):
        return None
    envelope = decoded.envelope
    return {
        "type": type(decoded.event).__name__, "time": record.time, "handler": envelope.handler,
        "id": envelope.identity, "cause": envelope.cause, "scope": envelope.scope,
        "data": masked(decoded.event, shorten=False),
    }  # fmt: skip
