"""A damaged file that is noticed while nothing is committed ends the worker with BusCorrupt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.errors import BusCorrupt
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


@handler()
async def h(a: A) -> None: ...


async def test_it_is_said(tmp_path: Path) -> None:
    """A damaged file that is noticed while nothing is committed ends the worker with BusCorrupt."""
    bus, other = LocalBus(str(tmp_path / "bus.db")), LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    await other.open()
    worker = Worker(App("x", [h]), bus)
    await worker.start()
    await asyncio.sleep(0.1)

    def damaged():
        raise BusCorrupt("damaged")

    bus.log.refresh = damaged
    await other.create({"elsewhere": 1})
    try:
        with pytest.raises(BusCorrupt):
            async with asyncio.timeout(20):
                await worker.wait()
    finally:
        del bus.log.refresh
        await worker.stop()
        await bus.close()
        await other.close()
