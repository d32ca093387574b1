"""Text that no encoding can hold, such as half an emoji of a model's answer, fails its own delivery and no other."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from stepwire import App, Context, Event, Settings, handler
from stepwire.bus.protocol import Partition
from stepwire.worker import Worker

HALF = "half of \ud83d"
PATIENCE = 40.0
ANSWERED, REFUSED = Partition("answered", 0), Partition("odd.stamp.dlt", 0)


class Asked(Event, topic="asked", entry=True):
    n: int


class Answered(Event, topic="answered", terminal=True):
    n: int


@handler()
async def say(asked: Asked) -> Answered:
    raise ValueError(HALF)


@handler()
async def stamp(asked: Asked, ctx: Context) -> Answered:
    if asked.n == 0:
        ctx.stamp("model", HALF)
    return Answered(n=asked.n)


APP = App("odd", [say, stamp])
SETTINGS = Settings(attempts=1, attempts_unknown=1, partitions=1, session=6.0, drain=5.0)


async def test_text_that_cannot_be_written_is_a_dead_letter(bus: Any) -> None:
    """An error's text is kept but for its odd character; an odd header is kept, or refused alone."""
    worker = Worker(APP, bus, settings=SETTINGS)
    await worker.start()
    try:
        await bus.publish([APP.record(Asked(n=n), now=time.time())[0] for n in range(2)])
        async with asyncio.timeout(PATIENCE):
            while len(said := await bus.read(Partition("odd.say.dlt", 0), 0, 10)) < 2:
                await asyncio.sleep(0.02)
            while len([*await bus.read(ANSWERED, 0, 10), *await bus.read(REFUSED, 0, 10)]) < 2:
                await asyncio.sleep(0.02)
    finally:
        await worker.stop()
    assert {record.headers["kafka_dlt-exception-message"] for record in said} == {"half of ?"}
    answered = [record.value for record in await bus.read(ANSWERED, 0, 10)]
    assert b'{"n":1}' in answered
