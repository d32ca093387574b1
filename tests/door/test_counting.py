"""The runs that a door counts: from 0, by two doors the same, and unknown while the bus is away."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.door.doors import Doors, Inside, result
from tests.door.shop import APP, Order
from tests.kafka.stage import stage

from stepwire.bus.kafka.bus import KafkaBus
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.counting import counting
from stepwire_handlers.services.door.measures import Measures
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.tally import Teller


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look follows the other."""
    monkeypatch.setattr("stepwire_handlers.services.door.counting.LOOK", 0.01)
    monkeypatch.setattr("stepwire_handlers.services.door.counting.SHARE", 0)


async def until(measures: Measures, *lines: str) -> None:
    """Return once the metrics have these lines."""
    async with asyncio.timeout(40):
        while not all(line in measures.scrape()[0].decode() for line in lines):
            await asyncio.sleep(0.01)


async def test_runs_are_counted_from_0(inside: Inside) -> None:
    """Before anything came there is a series for each; then one of each kind."""
    text = inside.door.measures.scrape()[0].decode()
    for what in ("started", "completed", "failed"):
        for app in ("shop", "files"):
            assert f'stepwire_runs_{what}_total{{app="{app}"}} 0.0' in text
    assert 'stepwire_run_duration_seconds_count{app="shop"} 0.0' in text
    async with counting(inside.door.places, inside.door.measures):
        await until(inside.door.measures, 'stepwire_runs_oldest_start_timestamp_seconds{app="shop"} 0.0')
        for n in (1, 500, -1):
            await inside.order(n)
        await inside.work(APP)
        await until(
            inside.door.measures,
            'stepwire_runs_started_total{app="shop"} 3.0',
            'stepwire_runs_completed_total{app="shop"} 1.0',
            'stepwire_run_duration_seconds_count{app="shop"} 1.0',
            'stepwire_runs_failed_total{app="shop"} 1.0',
            'stepwire_runs_open{app="shop",state="waiting"} 1.0',
            'stepwire_runs_open{app="shop",state="failed"} 1.0',
            'stepwire_runs_open{app="shop",state="running"} 0.0',
            'stepwire_runs_open{app="files",state="waiting"} 0.0',
        )


async def test_while_the_bus_is_away_nobody_knows_what_is_open(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gauges are gone, counters stay; when it is back, so are the gauges."""
    async with counting(inside.door.places, inside.door.measures):
        await until(inside.door.measures, 'stepwire_runs_open{app="shop",state="running"} 0.0')
        look = Teller.look

        def away(_: Teller) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(Teller, "look", away)
        async with asyncio.timeout(20):
            while b"stepwire_runs_open{" in inside.door.measures.scrape()[0]:
                await asyncio.sleep(0.01)
        assert b'stepwire_runs_started_total{app="shop"} 0.0' in inside.door.measures.scrape()[0]
        monkeypatch.setattr(Teller, "look", look)
        await until(inside.door.measures, 'stepwire_runs_open{app="shop",state="running"} 0.0')


@pytest.mark.slow
def test_two_doors_count_the_same(doors: Doors) -> None:
    """Each on the same file, whichever took the event: so one takes the largest, and adds nothing up."""
    (_, one), (_, other) = doors.door(), doors.door()
    doors.worker()
    runs = [httpx2.post(f"{url}/apps/shop/Order", json={"n": 1}).headers["location"] for url in (one, other)]
    for run in runs:
        result(one, run)
    for url in (one, other):
        wanted = [f'stepwire_runs_{what}_total{{app="shop"}} 2.0' for what in ("started", "completed")]
        end = time.monotonic() + 40
        while not all(line in (text := httpx2.get(f"{url}/metrics").text) for line in wanted):
            assert time.monotonic() < end, text
            time.sleep(0.1)


@asynccontextmanager
async def _counted(bus: KafkaBus, folder: Path) -> AsyncIterator[Measures]:
    folder.mkdir()
    async with AsyncExitStack() as stack:
        mirror = Mirror(bus, APP, folder)
        await mirror.open()
        stack.push_async_callback(mirror.close)
        door = door_of(Configuration(log="off"), await places_of(stack, [(APP, mirror)]), None, 1024)
        await stack.enter_async_context(counting(door.places, door.measures))
        await until(door.measures, 'stepwire_runs_open{app="shop",state="running"}')
        yield door.measures


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_two_doors_count_the_same_on_kafka(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Two workers, two copies of the topics: every run once at each door, though copies are torn while they follow."""
    async with stage(kafka, topic_prefix, APP) as here:
        for _ in range(2):
            await here.worker()
        async with _counted(here.new_bus(), tmp_path / "a") as one, _counted(here.new_bus(), tmp_path / "b") as other:
            await here.publish(*(Order(n=n) for n in (*range(1, 61), *[500] * 3, *[-1] * 2)))
            for measures in (one, other):
                await until(
                    measures,
                    'stepwire_runs_started_total{app="shop"} 65.0',
                    'stepwire_runs_completed_total{app="shop"} 60.0',
                    'stepwire_run_duration_seconds_count{app="shop"} 60.0',
                    'stepwire_runs_failed_total{app="shop"} 2.0',
                    'stepwire_runs_open{app="shop",state="waiting"} 3.0',
                    'stepwire_runs_open{app="shop",state="running"} 0.0',
                )
        async with _counted(here.new_bus(), tmp_path / "late") as late:
            await until(
                late, 'stepwire_runs_open{app="shop",state="waiting"} 3.0', 'runs_started_total{app="shop"} 0.0'
            )
