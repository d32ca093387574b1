"""What is begun with aiokafka's clients ends with whoever began it, however often that one is told to stop."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from stepwire.bus.kafka import connection
from stepwire.bus.kafka.connection import closed, undivided


class Client:
    """One whose start takes until `answered`; `swallows`: how often it goes on although it is cancelled."""

    def __init__(self, swallows: int = 0) -> None:
        self.answered, self.runs, self._swallows = asyncio.Event(), False, swallows

    async def start(self) -> None:
        self.runs = True
        try:
            while not self.answered.is_set():
                try:
                    await self.answered.wait()
                except asyncio.CancelledError:
                    self._swallows -= 1
                    if self._swallows < 0:
                        raise
        finally:
            self.runs = False


async def starting(client: Client) -> asyncio.Task[None]:
    """A task that starts it, and is in the middle of that."""
    task = asyncio.create_task(undivided(client.start()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert client.runs
    return task


async def test_a_start_that_is_cancelled_ends_first() -> None:
    """A connection that is being made is not cut off in the middle, which would leave it open."""
    client = Client()
    task = await starting(client)
    task.cancel()
    await asyncio.sleep(0)
    assert client.runs
    assert not task.done()
    client.answered.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not client.runs


async def test_a_start_that_is_cancelled_twice_does_not_run_on() -> None:
    """Whoever is told to stop once more, as by a second timeout, leaves nothing behind that would take partitions."""
    client = Client()
    task = await starting(client)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert not client.runs


async def test_what_does_not_close_is_cut_off_before_anything_else_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When `closed` returns, it has ended, although it went on the first time that it was cancelled."""
    monkeypatch.setattr(connection, "CLOSING", 0.05)
    client = Client()
    await closed(client.start())
    assert not client.runs
    stubborn = Client(swallows=1)
    await closed(stubborn.start())  # bounded in time, whatever it does
    stubborn.answered.set()
    await asyncio.sleep(0)
