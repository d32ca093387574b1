"""What a foreign record says of itself may be any bytes: it is a delivery or a dead letter, and stops no worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.worker import Worker


class Came(Event, topic="came", entry=True):
    n: int


class Left(Event, topic="left"):
    n: int


class Right(Event, topic="right"):
    n: int


class Met(Event, topic="met", terminal=True):
    n: int


@handler()
async def split(came: Came) -> tuple[Left, Right]:
    return Left(n=came.n), Right(n=came.n)


@handler()
async def meet(left: Left, right: Right) -> Met:
    return Met(n=left.n)


@handler(dedupe=60)
async def watch(came: Came) -> None:
    return None


APP = App("x", [split, meet, watch])
KIND = Came.spec.type
DEEP = "[" * 100_000 + "]" * 100_000
HALF = "\\ud800"  #: as JSON writes half of a surrogate pair
STRUCTURED = {
    "batch": f'[{{"specversion":"1.0","id":"x","source":"s","type":"{KIND}","data":{{"n":0}}}}]',
    "text": '"an event"',
    "id": f'{{"specversion":"1.0","id":"{HALF}","source":"s","type":"{KIND}","data":{{"n":0}}}}',
    "run": f'{{"specversion":"1.0","id":"x","source":"s","type":"{KIND}","swrun":"{HALF}","data":{{"n":0}}}}',
    "deep": f'{{"specversion":"1.0","id":"x","source":"s","type":"{KIND}","data":{{"n":0}},"z":{DEEP}}}',
}


@pytest.fixture
async def place() -> AsyncIterator[tuple[LocalBus, Worker]]:
    """A bus and a worker."""
    bus = LocalBus()
    await bus.open()
    worker = Worker(APP, bus)
    await worker.start()
    yield bus, worker
    await worker.stop()
    await bus.close()


async def goes_on(place: tuple[LocalBus, Worker], **change: Any) -> None:
    """The next event after one that is changed so goes its way."""
    bus, worker = place
    odd, next_one = (APP.record(Came(n=n), now=time.time())[0] for n in range(2))
    headers = {**odd.headers, **change.pop("headers", {})}
    await bus.publish([Out(odd.topic, odd.key, headers, change.get("value", odd.value)), next_one])
    await worker.settle()
    met = [record.value for where in bus.log.partitions("met") for record in await bus.read(where, 0, 10)]
    assert b'{"n":1}' in met


@pytest.mark.parametrize(
    "name", ["ce_id", "ce_source", "ce_swscope", "ce_correlationid", "traceparent", "ce_time", "other"]
)
async def test_a_header_of_any_bytes(place: tuple[LocalBus, Worker], name: str) -> None:
    """Bytes that are no UTF-8, as escapes."""
    await goes_on(place, headers={name: "\udcff\udc80"})


@pytest.mark.parametrize("name", [*STRUCTURED])
async def test_a_structured_event_of_any_text(place: tuple[LocalBus, Worker], name: str) -> None:
    """Half of a surrogate pair in its id or run, one that is nested 100,000 deep, a batch, a plain text."""
    headers = {"content-type": "application/cloudevents+json"}
    await goes_on(place, headers=headers, value=STRUCTURED[name].encode())
