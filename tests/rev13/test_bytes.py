"""Header bytes of a foreign record that are no UTF-8 (surrogate escapes here) stop no worker."""
from __future__ import annotations
import asyncio, time
import pytest
from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.worker import Worker

class A(Event, topic="a", entry=True):
    n: int
class B(Event, topic="b"):
    n: int
class B2(Event, topic="b2"):
    n: int
class C(Event, topic="c", terminal=True):
    n: int
@handler()
async def one(a: A) -> tuple[B, B2]: return B(n=a.n), B2(n=a.n)
@handler()
async def two(b: B, b2: B2) -> C: return C(n=b.n)
@handler(dedupe=60)
async def three(a: A) -> None: return None
APP = App("x", [one, two, three])

@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_swscope", "ce_correlationid", "traceparent", "ce_time", "other"])
async def test_a_header_of_any_bytes(name: str) -> None:
    """The record is a delivery or a dead letter, and the next one goes its way."""
    bus = LocalBus(); await bus.open()
    worker = Worker(APP, bus); await worker.start()
    out = APP.record(A(n=0), now=time.time())[0]
    await bus.publish([out._replace(headers={**out.headers, name: "\udcff\udc80"}), APP.record(A(n=1), now=time.time())[0]])
    async with asyncio.timeout(5):
        while not any([b'1' in r.value for p in bus.log.partitions("c") for r in await bus.read(p, 0, 10)]):
            for t in worker._loops:
                if t.done(): t.result()
            await asyncio.sleep(.01)
    await worker.stop(); await bus.close()


@pytest.mark.parametrize("body", [
    '{"specversion":"1.0","id":"\\ud800","source":"s","type":"%s","data":{"n":0}}' % A.spec.type,
    '{"specversion":"1.0","id":"x","source":"s","type":"%s","swrun":"\\ud800","data":{"n":0}}' % A.spec.type,
    '{"specversion":"1.0","id":"x","source":"s","type":"%s","data":{"n":0},"z":%s}' % (A.spec.type, "[" * 100_000 + "]" * 100_000),
], ids=["id", "run", "deep"])
async def test_a_structured_event_of_any_text(body: str) -> None:
    """The same of what a structured event says."""
    bus = LocalBus(); await bus.open()
    worker = Worker(APP, bus); await worker.start()
    out = APP.record(A(n=0), now=time.time())[0]
    await bus.publish([out._replace(headers={"content-type": "application/cloudevents+json"}, value=body.encode()), APP.record(A(n=1), now=time.time())[0]])
    async with asyncio.timeout(5):
        while not any([b'1' in r.value for p in bus.log.partitions("c") for r in await bus.read(p, 0, 10)]):
            for t in worker._loops:
                if t.done(): t.result()
            await asyncio.sleep(.01)
    await worker.stop(); await bus.close()
