"""Runs that were there before a release read as they did, whatever its steps take that older ones did not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stepwire import App, Decision, Event, Settings, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.runs import Runs

SETTINGS = Settings(session=6.0, drain=5.0)
PATIENCE = 60.0
pytestmark = pytest.mark.timeout(180)


class Asked(Event, topic="asked"):
    n: int


class Drafted(Event, topic="drafted"):
    n: int


class Answered(Event, topic="answered", result=True):
    n: int


@handler()
async def draft(asked: Asked) -> Drafted:
    return Drafted(n=asked.n)


@handler()
async def check(drafted: Drafted) -> Answered:
    return Answered(n=drafted.n)


@handler(name="check")
async def gate(drafted: Decision[Drafted]) -> Answered:
    return Answered(n=drafted.final.n)


@handler()
async def audit(drafted: Drafted) -> None:
    """A step that was not there before."""


OLD, MORE, GATED = App("rep", [draft, check]), App("rep", [draft, check, audit]), App("rep", [draft, gate])


class Place:
    """One app's topics, that releases of it work on."""

    def __init__(self, kind: str, request: pytest.FixtureRequest, folder: Path) -> None:
        self._folder = folder
        self._cluster = (
            (request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")) if kind == "kafka" else None
        )

    def _bus(self) -> Any:
        if self._cluster is None:
            return LocalBus(str(self._folder / "bus.db"))
        return KafkaBus(self._cluster[0], prefix=self._cluster[1], session=6.0, create_topics=True)

    @asynccontextmanager
    async def release(self, app: App) -> AsyncIterator[tuple[Any, Runs, Any]]:
        """A worker of this release; a bus to publish on, the runs as this release reads them, and where from."""
        bus = self._bus()
        await bus.open()
        worker = Worker(app, bus, settings=SETTINGS)
        await worker.start()
        sees = self._bus() if self._cluster is None else Mirror(self._bus(), app, self._folder / app.name)
        await sees.open()
        try:
            yield bus, Runs(app, sees), sees
        finally:
            await sees.close()
            await worker.stop()
            await bus.close()


@pytest.fixture(params=["file", pytest.param("kafka", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, request, tmp_path)


async def publish(app: App, bus: Any) -> str:
    """A new run."""
    out, run = app.record(Asked(n=1), now=time.time())
    await bus.publish([out])
    return run


async def until(runs: Runs, run: str, state: str) -> None:
    """The run comes to this state."""
    async with asyncio.timeout(PATIENCE):
        while not (view := runs.view(run)).lines or view.state != state:
            await asyncio.sleep(0.02)


async def test_a_step_that_came_later_is_not_waited_for_in_older_runs(place: Place) -> None:
    """It begins at its topics' end; what lay there before it never takes, and newer runs it does."""
    async with place.release(OLD) as (bus, runs, _):
        old = await publish(OLD, bus)
        await until(runs, old, "completed")
    async with place.release(MORE) as (bus, runs, _):
        assert runs.view(old).state == "completed"
        new = await publish(MORE, bus)
        await until(runs, new, "completed")
        assert [end.handler for end in runs.view(new).ends] == ["audit"]


async def test_a_step_that_became_a_gate_asks_nobody_about_older_runs(place: Place) -> None:
    """Neither there, nor back again: what was decided, and what nobody was asked, stay as they are."""
    async with place.release(OLD) as (bus, runs, _):
        old = await publish(OLD, bus)
        await until(runs, old, "completed")
    async with place.release(GATED) as (bus, runs, sees):
        assert runs.view(old).state == "completed"
        new = await publish(GATED, bus)
        await until(runs, new, "waiting")
        (waiting,) = Gates(GATED, sees).open()
        assert waiting.run == new
        await Gates(GATED, sees).decide(waiting, approved=True, by="test", why="", edited=None, key="")
        await until(runs, new, "completed")
    async with place.release(OLD) as (_, runs, _):
        assert [runs.view(run).state for run in (old, new)] == ["completed", "completed"]
