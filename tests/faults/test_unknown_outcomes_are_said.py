"""A bus whose every commit ends unknown (an I/O error at COMMIT): the worker says so and does not spin."""

from __future__ import annotations

import asyncio

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.errors import OutcomeUnknown
from stepwire.worker import Worker


class A(Event, topic="a"):
    n: int


@handler()
async def h(a: A) -> None: ...


async def test_it_is_said() -> None:
    """A bus whose every commit ends unknown (an I/O error at COMMIT): the worker says so and does not spin."""
    bus = LocalBus()
    await bus.open()
    worker = Worker(App("x", [h]), bus)
    commits = 0

    async def broken(*_: object) -> None:
        nonlocal commits
        commits += 1
        await asyncio.sleep(0)
        raise OutcomeUnknown("disk I/O error during a commit")

    bus.commit = broken
    await worker.start()
    await asyncio.sleep(1)
    trouble = worker.dispatchers[0].committer.trouble
    for task in worker._loops:
        task.cancel()
    await asyncio.gather(*worker._loops, return_exceptions=True)
    await bus.close()
    assert commits < 20 and trouble, f"{commits} commits in one second, trouble={trouble!r}"
