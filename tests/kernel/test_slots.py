"""Which calls need a task of their own, and how many may be under way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from stepwire import App, Context, Event, Reject, RetryLater, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.context import current
from stepwire.dispatch.step import never_waits
from stepwire.errors import BusUnavailable
from stepwire.worker import Worker


class Came(Event, topic="came", entry=True):
    n: int


class Went(Event, topic="went", terminal=True, result=True):
    n: int


async def plain(came: Came) -> Went:
    return Went(n=came.n)


async def awaits(came: Came) -> Went:
    return await plain(came)


async def iterates(came: Came) -> Went:
    return Went(n=len([n async for n in numbers()]))


async def opens(came: Came) -> Went:
    async with contextlib.AsyncExitStack():
        return Went(n=came.n)


async def numbers() -> Any:
    yield 1


def returns_a_coroutine(came: Came) -> Awaitable[Went]:
    return awaits(came)


@pytest.mark.parametrize(
    ("function", "instant"),
    [
        (plain, True), (awaits, False), (iterates, False), (opens, False), (returns_a_coroutine, False),
        (partial(awaits), False), (numbers, False),
    ],
)  # fmt: skip
def test_only_code_without_a_place_to_wait_is_called_without_a_task(
    function: Callable[..., Any], instant: bool
) -> None:
    """Await, async for and async with are seen in the compiled code; what is no plain coroutine function may wait."""
    assert never_waits(function) is instant


async def test_an_instant_call_sees_its_context_and_leaves_none_behind() -> None:
    """The current delivery is known inside the call, and nobody else's afterwards."""
    seen: list[tuple[str, str]] = []

    @handler()
    async def step(came: Came, ctx: Context) -> Went:
        seen.append((current().key, ctx.key))
        return Went(n=came.n)

    async with await App("x", handlers=[step]).run(Came(n=1)) as run:
        assert run.result == Went(n=1)
        await run.publish(Came(n=2))
    assert [inner == outer for inner, outer in seen] == [True, True]
    assert len({inner for inner, _ in seen}) == 2
    with pytest.raises(LookupError):
        current()


@pytest.mark.parametrize(
    ("error", "attempts", "ends"),
    [(ValueError("no"), 3, "ValueError"), (Reject("never"), 1, "Reject"), (asyncio.CancelledError(), 3, "Awaited")],
)
async def test_an_instant_call_that_fails_is_retried_or_given_up_as_any(
    error: BaseException, attempts: int, ends: str
) -> None:
    """Retries in place wait with the worker's clock, and the last failure is the dead letter."""
    calls: list[int] = []

    @handler()
    async def step(_: Came, ctx: Context) -> Went:
        calls.append(ctx.attempt)
        raise error

    async with await App("x", handlers=[step]).run(Came(n=1)) as run:
        assert calls == list(range(1, attempts + 1))
        assert [dead.error.startswith(ends) for dead in run.dead_letters] == [True]


async def test_an_instant_call_may_ask_for_a_later_moment() -> None:
    """A short wait keeps the slot, a long one is parked, and each comes back with the next attempt."""
    moments: list[float] = []

    @handler()
    async def step(came: Came, ctx: Context) -> Went:
        moments.append(ctx.now())
        if ctx.attempt < 3:
            raise RetryLater(5.0 if ctx.attempt == 1 else 500.0)
        return Went(n=came.n)

    async with await App("x", handlers=[step]).run(Came(n=1)) as run:
        assert run.result is None
        await run.advance(500.0)
        assert run.result == Went(n=1)
    assert [round(later - moments[0]) for later in moments] == [0, 5, 505]


class Stuck(LocalBus):
    """A bus that takes no commits while it is told so."""

    stuck = False

    async def commit(self, *arguments: Any) -> None:
        if self.stuck:
            raise BusUnavailable("stuck")
        await super().commit(*arguments)


async def test_calls_that_returned_free_their_slots_but_only_so_many() -> None:
    """A call that waits for its commit holds up no other, until as many wait as may run: then nothing more begins."""
    begun = 0

    @handler(concurrency=4)
    async def step(came: Came) -> Went:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        return Went(n=came.n)

    app, bus = App("x", handlers=[step]), Stuck()
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await worker.settle()
    bus.stuck = True
    await bus.publish([app.record(Came(n=n), now=time.time())[0] for n in range(40)])
    for _ in range(500):
        await asyncio.sleep(0)
    while worker.dispatchers[0].committer.returned < 8:
        await asyncio.sleep(0.01)
    assert begun == 8
    bus.stuck = False
    await worker.settle()
    assert (begun, worker.dispatchers[0].active, worker.dispatchers[0].committer.returned) == (40, 0, 0)
    await worker.stop()
    await bus.close()


async def test_one_at_a_time_means_one_call_at_a_time() -> None:
    """`concurrency=1`: the next call begins after the one before returned."""
    running, most = 0, 0

    @handler(concurrency=1)
    async def step(came: Came) -> Went:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return Went(n=came.n)

    app, bus = App("x", handlers=[step]), LocalBus()
    await bus.open()
    worker = Worker(app, bus, settings=Settings())
    await worker.start()
    await bus.publish([app.record(Came(n=n), now=time.time())[0] for n in range(50)])
    await worker.settle()
    assert most == 1
    await worker.stop()
    await bus.close()
