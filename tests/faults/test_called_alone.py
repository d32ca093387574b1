"""When the delivery that is called alone goes to another worker, the next one is called (R12)."""

from __future__ import annotations

import asyncio
import time

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


async def test_the_next_one_is_called() -> None:
    """When the delivery that is called alone goes to another worker, the next one is called (R12)."""
    called: list[int] = []
    wait = asyncio.Event()

    @handler()
    async def h(a: A) -> None:
        called.append(a.n)
        if a.n == 0:
            await wait.wait()

    mine = {"p": frozenset({0, 1})}

    def split(partitions, members):
        first = frozenset(p for p in partitions if p.topic != "a" or p.number in mine["p"])
        return [first, *([frozenset(partitions) - first] * (members - 1))]

    app = App("x", [h])
    bus = LocalBus(split=split)
    await bus.open()
    worker = Worker(app, bus, settings=Settings(partitions=2, drain=0.2))
    await worker.start()
    await asyncio.sleep(0.1)
    d = worker.dispatchers[0]
    await bus.join(d.step.group, ["a"], d.step.control)  # a second seat that takes what it is given
    await asyncio.sleep(0.1)
    for number in (0, 1):
        d.committer.ledgers[Partition("a", number)].careful = 1  # as after two unclean takeovers
    out = app.record(A(n=0), now=time.time())[0]
    await bus.publish([out._replace(partition=0)])
    await asyncio.sleep(0.1)
    await bus.publish([app.record(A(n=1), now=time.time())[0]._replace(partition=1)])
    await asyncio.sleep(0.1)
    assert called == [0] and len(d._alone) == 2
    mine["p"] = frozenset({1})  # partition 0, whose event is under way, goes to the other one
    bus.rebalance(d.step.group)
    await asyncio.sleep(1.0)
    left, active = len(d._alone), d.active
    await worker.stop()
    await bus.close()
    assert called == [0, 1], f"called {called}; waiting alone: {left}, active {active}"
