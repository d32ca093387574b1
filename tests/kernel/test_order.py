"""`order=`: events with one value are called one after another, and a call does not wait for the commit before it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest
from tests.kernel.test_slots import Stuck

from stepwire import App, Context, Event, Reject, RetryLater, handler
from stepwire.bus.protocol import Out, Partition
from stepwire.memory import replay, replay_key
from stepwire.state import AHEAD
from stepwire.worker import Worker


class Asked(Event, topic="asked", entry=True):
    n: int
    who: str = "ann"


class Done(Event, topic="done", terminal=True):
    n: int


async def waits() -> None:
    await asyncio.sleep(0)


async def bus_that_sticks(app: App) -> tuple[Stuck, Worker]:
    """A worker at rest on a bus that takes no commit any more, with 40 events of one value before it."""
    bus = Stuck()
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await worker.settle()
    bus.stuck = True
    await bus.publish([app.record(Asked(n=n), now=time.time())[0] for n in range(40)])
    return bus, worker


@pytest.mark.parametrize("between", [None, waits])
async def test_a_call_begins_when_the_one_before_returned_but_only_so_far_ahead_of_commits(
    between: Callable[[], Awaitable[None]] | None,
) -> None:
    """None run side by side; while nothing can be committed AHEAD are called; in the end all came in order."""
    running, called = 0, []

    async def work(asked: Asked) -> Done:
        nonlocal running
        running += 1
        assert running == 1
        called.append(asked.n)
        if between is not None:
            await between()
        running -= 1
        return Done(n=asked.n)

    app = App("x", [handler(order="who")(work)])
    bus, worker = await bus_that_sticks(app)
    while len(called) < AHEAD:
        await asyncio.sleep(0.01)
    for _ in range(500):
        await asyncio.sleep(0)
    assert called == list(range(AHEAD))
    bus.stuck = False
    await worker.settle()
    assert called == list(range(40))
    records = await bus.read(Partition("done", 0), 0, 100)
    assert [json.loads(record.value)["n"] for record in records] == list(range(40))
    await worker.stop()
    await bus.close()


async def test_who_failed_for_good_lets_the_next_one_pass_and_who_will_be_called_again_does_not() -> None:
    """A dead letter ends a turn like a result; an event that waits for a later attempt keeps its place."""
    called: list[int] = []

    @handler(order="who")
    async def step(asked: Asked, ctx: Context) -> Done:
        called.append(asked.n)
        if asked.n == 1:
            raise Reject("never")
        if asked.n == 3 and ctx.attempt == 1:
            raise RetryLater(500.0)
        return Done(n=asked.n)

    async with await App("x", [step]).run(*(Asked(n=n) for n in range(6))) as run:
        assert called == [0, 1, 2, 3]
        await run.advance(501.0)
        assert called == [0, 1, 2, 3, 3, 4, 5]
        assert [dead.error for dead in run.dead_letters] == ["Reject"]


async def test_a_replay_takes_its_turn_among_the_events_of_its_value() -> None:
    """It comes behind those that wait already, and nothing of its value is called beside it."""
    running, called, broken = 0, list[int](), [True]

    @handler(order="who")
    async def work(asked: Asked) -> Done:
        nonlocal running
        running += 1
        assert running == 1
        called.append(asked.n)
        await asyncio.sleep(0)
        running -= 1
        if asked.n == 0 and broken[0]:
            raise Reject("not yet")
        return Done(n=asked.n)

    app = App("turns", [work])
    async with await app.run(Asked(n=0)) as run:
        broken[0], entry = False, replay(run.dead_letters[0].record, drop=False)
        waiting = [app.record(Asked(n=n), now=time.time())[0] for n in (1, 2)]
        await run._bus.publish([*waiting, Out("turns.work.control", replay_key(entry), {}, entry.encode()), *waiting])
        await run._settle()
        assert (len(called), called.count(0), run.dead_letters) == (6, 2, [])
