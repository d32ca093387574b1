"""A step that needed several attempts says so, whatever bus it ran on; one that did not leaves nothing more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from stepwire import App, Context, Event, RetryLater, Sensitive, Settings, Transient, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.jsontext import load
from stepwire.worker import Worker
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.runs import Runs, RunView
from stepwire_handlers.services.timeline import timeline

SETTINGS = Settings(backoff=0.01, in_place=0.05, session=6.0, drain=5.0)
PATIENCE = 40.0
CARD = "4111 2222"


class Asked(Event, topic="asked"):
    card: Annotated[str, Sensitive()]
    fails: int


class Known(Event, topic="known"):
    pass


class Left(Event, topic="left"):
    pass


class Paired(Event, topic="paired", terminal=True):
    pass


@handler()
async def know(asked: Asked, ctx: Context) -> Known:
    if ctx.attempt <= asked.fails:
        raise Transient(f"no line for {asked.card}, {ctx.attempt}")
    return Known()


@handler()
async def leave(asked: Asked) -> Left:
    return Left()


@handler()
async def note(asked: Asked, ctx: Context) -> None:
    if ctx.attempt <= asked.fails:
        raise RetryLater(0.1, f"later, {ctx.attempt}")


@handler()
async def pair(known: Known, left: Left, ctx: Context) -> Paired:
    if ctx.attempt == 1:
        raise RetryLater(0.1, "the scales are away")
    return Paired()


APP = App("retried", [know, leave, note, pair])


@pytest.fixture(params=["file", "kafka"])
async def pair_of_buses(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """A bus for the worker, and one for who looks at runs."""
    if request.param == "kafka":
        servers, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")
        buses = [KafkaBus(servers, prefix=prefix, session=6.0, create_topics=True) for _ in range(2)]
        works, sees = buses[0], Mirror(buses[1], APP, tmp_path)
    else:
        works, sees = LocalBus(str(tmp_path / "bus.db")), LocalBus(str(tmp_path / "bus.db"))  # type: ignore[assignment]
    await works.open()
    yield works, sees
    await works.close()


async def completed(runs: Runs, run: str) -> RunView:
    """The run, once it is, with what is told of its retries: a copy of Kafka shows that after the events."""
    async with asyncio.timeout(PATIENCE):
        while (view := runs.view(run)).state != "completed" or "pair" not in {end.handler for end in view.ends}:
            await asyncio.sleep(0.02)
    return view


async def test_attempts_and_the_last_error_are_told_of_a_success(pair_of_buses: tuple[Any, Any]) -> None:
    """Retried in place, parked, with an event, without one, and of a join; what is sensitive is masked."""
    works, sees = pair_of_buses
    worker = Worker(APP, works, settings=SETTINGS)
    await worker.start()
    twice, once = (APP.record(Asked(card=CARD, fails=n), now=time.time()) for n in (2, 0))
    await works.publish([twice[0], once[0]])
    await sees.open()
    runs = Runs(APP, sees)
    told = {
        run: {
            step.handler: (step.outcome, step.attempts, step.last_error)
            for step in timeline(await completed(runs, run))
            if step.handler
        }
        for run in (twice[1], once[1])
    }
    ends = [load(record.value) for record in await works.read(Partition("retried.runs", 0), 0, 100)]
    await sees.close()
    await worker.stop()
    assert told == {
        twice[1]: {
            "know": ("emitted", 3, "Transient: no line for ***, 2"), "leave": ("emitted", 1, ""),
            "note": ("ended", 3, "RetryLater: later, 2"), "pair": ("emitted", 2, "RetryLater: the scales are away"),
        },
        once[1]: {
            "know": ("emitted", 1, ""), "leave": ("emitted", 1, ""), "note": ("ended", 1, ""),
            "pair": ("emitted", 2, "RetryLater: the scales are away"),
        },
    }  # fmt: skip
    assert sorted((end["run"] == once[1], end["handler"], end.get("attempts")) for end in ends) == [
        (False, "know", 3), (False, "note", 3), (False, "pair", 2), (True, "note", None), (True, "pair", 2)
    ]  # fmt: skip
