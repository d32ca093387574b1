"""A call that outlives its cancellation (cleanup that waits) is over at its deadline all the same."""

from __future__ import annotations

import asyncio
import time

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


async def test_the_slot_comes_free() -> None:
    """A call that outlives its cancellation (cleanup that waits) is over at its deadline all the same."""

    @handler(timeout=0.2, concurrency=1)
    async def h(a: A) -> None:
        if a.n == 0:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(60)  # e.g. closing a connection that is gone

    app = App("x", [h])
    bus = LocalBus()
    await bus.open()
    worker = Worker(app, bus, settings=Settings(attempts=1, drain=0.5))
    await worker.start()
    await bus.publish([app.record(A(n=n), now=time.time())[0] for n in range(2)])
    await asyncio.sleep(2.5)
    ended = sum((await bus.ends(["x.runs"])).values())
    await worker.stop()
    await bus.close()
    assert ended == 1, "its neighbour still waits for the slot, 2.5 s after a timeout of 0.2 s"
