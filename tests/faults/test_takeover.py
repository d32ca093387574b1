"""While a worker takes partitions over nothing begins: what a dead one left there is judged first (R12, R13)."""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import Any

import pytest

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker

KEPT, GAINED = (next(c for c in "abcdefgh" if zlib.crc32(c.encode()) % 2 == part) for part in (0, 1))
SETTINGS = Settings(partitions=1, control_partitions=2)


class Asked(Event, topic="asked", entry=True):
    who: str


class Paid(Event, topic="paid", terminal=True):
    pass


async def test_a_call_that_returns_during_a_takeover_starts_no_claimed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """An effect whose worker is gone is asked about, also when an ordered call of the new owner ends just then."""
    called, returns, whole = [], asyncio.Event(), False

    def split(partitions: Any, members: int) -> list[frozenset[Any]]:
        if members < 2 or whole:
            return [frozenset(partitions)] + [frozenset()] * (members - 1)
        other = frozenset(p for p in partitions if p.topic.endswith(".control") and p.number == 1)
        return [frozenset(partitions) - other, other]

    @handler(effect="once", order="who", timeout=50)
    async def pay(asked: Asked) -> Paid:
        called.append(asked.who)
        await (returns.wait() if asked.who == KEPT else asyncio.sleep(40))
        return Paid()

    app, bus = App("x", [pay]), LocalBus(split=split)
    await bus.open()
    workers = [Worker(app, bus, settings=SETTINGS) for _ in range(2)]
    for worker in workers:
        await worker.start()
    await bus.publish([app.record(Asked(who=who), now=time.time())[0] for who in (KEPT, GAINED)])
    async with asyncio.timeout(20):
        while len(called) < 2:
            await asyncio.sleep(0.01)
    real = bus.ends

    async def ends(*arguments: Any, **more: Any) -> Any:
        """The kept call returns while the worker attaches."""
        if whole and not returns.is_set():
            returns.set()
            for _ in range(50):
                await asyncio.sleep(0)
        return await real(*arguments, **more)

    monkeypatch.setattr(bus, "ends", ends)
    whole = True
    bus.rebalance("x.pay")
    async with asyncio.timeout(20):
        mailboxes = workers[0].dispatchers[0].committer.mailboxes
        while not (1 in mailboxes and any(b'"unknown"' in raw for raw in mailboxes[1].items.values())):
            await asyncio.sleep(0.01)
        while not await workers[0].dispatchers[0].idle():
            await asyncio.sleep(0.01)
    assert called.count(GAINED) == 1
    for worker in workers:
        await worker.stop()
    await bus.close()
