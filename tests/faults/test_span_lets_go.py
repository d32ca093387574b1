"""A partition that was held back by the span limit goes on once its first record is finished."""

from __future__ import annotations

import asyncio
import time

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


class B(Event, topic="b", terminal=True):
    n: int


async def test_the_span_limit_lets_go() -> None:
    """A partition that was held back by the span limit goes on once its first record is finished."""
    release, done = asyncio.Event(), set()

    @handler()
    async def slow(a: A) -> B:
        if a.n == 0:
            await release.wait()
        done.add(a.n)
        return B(n=a.n)

    app = App("x", [slow])
    bus = LocalBus()
    await bus.open()
    worker = Worker(app, bus, settings=Settings(span=4, prefetch=2))
    await worker.start()
    await bus.publish([app.record(A(n=n), now=time.time())[0] for n in range(10)])
    await asyncio.sleep(0.3)
    before = len(done)
    release.set()
    await asyncio.sleep(1.0)
    after = len(done)
    await worker.stop()
    await bus.close()
    assert before < 10
    assert after == 10, f"{after} of 10 after the first one was finished"
