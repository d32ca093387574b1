"""A step whose calls are slow hears of what a person said, however many events wait: on every bus."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from stepwire import App, Event, Reject, Settings, handler
from stepwire.bus.protocol import Out, Partition
from stepwire.jsontext import load
from stepwire.memory import replay
from stepwire.worker import Worker

MANY, PATIENCE = 300, 40.0
SETTINGS = Settings(partitions=1, control_partitions=1, session=6.0, drain=5.0)


class Job(Event, topic="a-job"):  # read before the mailbox, if names decide
    n: int


class Made(Event, topic="made", terminal=True):
    n: int


async def until(bus: Any, topic: str, least: int) -> list[Any]:
    """The records of a topic, once there are so many."""
    end = time.monotonic() + PATIENCE
    while len(found := await bus.read(Partition(topic, 0), 0, 1_000)) < least:
        assert time.monotonic() < end, f"{len(found)} of {least} on {topic}"
        await asyncio.sleep(0.02)
    return list(found)


async def test_a_replay_is_heard_while_hundreds_of_events_wait_for_a_step_of_one_call_at_a_time(where: Any) -> None:
    """Its own messages take turns with the events that it is behind with."""
    fails = [True]

    @handler(concurrency=1)
    async def work(job: Job) -> Made:
        if fails[0]:
            raise Reject("not today")
        return Made(n=job.n)

    app = App("turns", [work])
    worker = Worker(app, where, settings=SETTINGS)
    await worker.start()
    await where.publish([app.record(Job(n=-1), now=time.time())[0]])
    (dead,) = await until(where, "turns.work.dlt", 1)
    fails[0], again = False, replay(dead, drop=False)
    many = [app.record(Job(n=n), now=time.time())[0] for n in range(MANY)]
    await where.publish([*many, Out("turns.work.control", str(again.meta["id"]), {}, again.encode())])
    made = [load(record.value)["n"] for record in await until(where, "made", MANY + 1)]
    assert sorted(made) == [-1, *range(MANY)]
    assert made.index(-1) < MANY // 2
    await worker.stop()
