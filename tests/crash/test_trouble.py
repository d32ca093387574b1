"""A full disk and a locked file while a worker works: intake stops, it is said, nothing is lost or called again."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.errors import BusUnavailable
from stepwire.worker import Worker
from stepwire_handlers.services.gates import Gates

EVENTS = 40


class Ask(Event, topic="ask"):
    n: int


class Told(Event, topic="told", terminal=True):
    n: int
    filler: str


async def until(come_true: Callable[[], bool], what: str) -> None:
    """Look until it is so."""
    end = time.monotonic() + 10
    while not come_true():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("trouble", ["full", "locked"])
async def test_calls_wait_with_their_results_until_the_file_can_be_written(tmp_path: Path, trouble: str) -> None:
    """The worker says what is wrong, makes no call twice, and writes every result once when it is over."""
    calls: Counter[int] = Counter()
    go = asyncio.Event()

    @handler()
    async def tell(ask: Ask) -> Told:
        calls[ask.n] += 1
        await go.wait()
        return Told(n=ask.n, filler="x" * 5_000)

    app = App("trouble", [tell])
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await bus.publish([app.record(Ask(n=n), now=0.0)[0] for n in range(EVENTS)])
    await until(lambda: len(calls) == EVENTS, "not all are called")
    other = sqlite3.connect(bus.path, isolation_level=None)
    if trouble == "full":
        (pages,) = bus.store.db.execute("PRAGMA page_count").fetchone()
        bus.store.db.execute(f"PRAGMA max_page_count={pages}")
    else:
        other.execute("BEGIN IMMEDIATE")
    go.set()
    committer = worker.dispatchers[0].committer
    await until(lambda: trouble in committer.trouble, f"nobody says that it is {trouble}: {committer.trouble!r}")
    if trouble == "full":
        with pytest.raises(BusUnavailable, match="free some space"):
            await bus.publish([Out("told", None, {}, b"x" * 50_000)])
        bus.store.db.execute("PRAGMA max_page_count=1000000")
    else:
        other.execute("ROLLBACK")
    await until(lambda: bus.log.end(Partition("told", 0)) == EVENTS, "results are missing")
    await until(lambda: not committer.trouble, "it goes on complaining")
    assert calls == Counter(range(EVENTS))
    found = [int(r.value.split(b":")[1].split(b",")[0]) for r in await bus.read(Partition("told", 0), 0, 1_000)]
    assert sorted(found) == list(range(EVENTS))
    other.close()
    await worker.stop()
    await bus.close()


async def test_a_person_reaches_an_ordered_delivery_in_any_control_partition(tmp_path: Path) -> None:
    """What is kept in order lies where its order value puts it; the answer about its unknown outcome goes there too."""

    @handler(effect="once", order="n")
    async def tell(ask: Ask) -> Told:
        raise RuntimeError("was it done?")

    app = App("trouble", [tell])
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    worker = Worker(app, bus, settings=Settings(control_partitions=7))
    await worker.start()
    await bus.publish([app.record(Ask(n=n), now=0.0)[0] for n in range(8)])
    await until(lambda: len(Gates(app, bus).open()) == 8, "not all are unknown")
    for waiting in Gates(app, bus).open():
        await Gates(app, bus).resolve(waiting, "drop", by="somebody", key="")
    await until(lambda: not any(m.items for m in worker.dispatchers[0].committer.mailboxes.values()), "it is refused")
    assert Gates(app, bus).open() == []
    await worker.stop()
    await bus.close()
