"""Whatever a handler raises, its delivery comes to an outcome: retried, parked, or a dead letter."""

from __future__ import annotations

import asyncio
import time

import pytest

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("how", ["cancelled future", "cancels itself", "str fails"])
async def test_it_ends(how: str) -> None:
    """Whatever a handler raises, its delivery comes to an outcome: retried, parked, or a dead letter."""
    calls = 0

    @handler()
    async def h(a: A) -> None:
        nonlocal calls
        calls += 1
        if how == "str fails":
            raise Mute
        if how == "cancels itself":  # as a library does whose scope is left in another task than it was entered in
            if task := asyncio.current_task():
                task.cancel()
            await asyncio.sleep(0)
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner  # a task of the author's own that somebody cancelled

    app = App("x", [h])
    bus = LocalBus()
    await bus.open()
    worker = Worker(app, bus, settings=Settings(attempts=2, attempts_unknown=2, backoff=0.01, drain=0.5))
    await worker.start()
    await bus.publish([app.record(A(n=1), now=time.time())[0]])
    d = worker.dispatchers[0]
    for _ in range(100):
        await asyncio.sleep(0.1)
        if sum((ends := await bus.ends(["x.h.dlt"])).values()):
            break
    stuck = d.active, len(d.caller.running), calls
    await worker.stop()
    await bus.close()
    assert sum(ends.values()) == 1, f"no dead letter; active={stuck[0]} but running={stuck[1]}, called {stuck[2]} times"


async def test_a_step_that_never_waits_and_cancels_its_task_ends_nobody_else() -> None:
    """It has no await, so it needs no task of its own but for this: the events after it are handled."""

    @handler()
    async def h(a: A) -> None:
        if a.n == 1 and (task := asyncio.current_task()):
            task.cancel()
        seen.append(a.n)

    seen: list[int] = []
    app = App("x", [h])
    bus = LocalBus()
    await bus.open()
    worker = Worker(app, bus, settings=Settings(drain=0.5))
    await worker.start()
    async with asyncio.timeout(10):
        for n in range(3):
            await bus.publish([app.record(A(n=n), now=time.time())[0]])
            await worker.settle()
    await worker.stop()
    await bus.close()
    assert seen == [0, 1, 2]
