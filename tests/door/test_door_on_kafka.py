"""A door to an app on Kafka: the same answers, from a copy of the app's topics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.brokers.plugin import OwnKafka
from tests.door.forgery import forged
from tests.door.shop import APP
from tests.kafka.stage import Stage, stage

from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.signing import UNSIGNED, tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@asynccontextmanager
async def opened(here: Stage, folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A door with a copy of its own, as another machine has it."""
    folder.mkdir()
    values = Configuration(bus=f"kafka://{here.servers}", blobs=str(folder / "blobs"))
    async with AsyncExitStack() as stack:
        mirror = Mirror(here.new_bus(), APP, folder)
        await mirror.open()
        stack.push_async_callback(mirror.close)
        door = door_of(values, await places_of(stack, [(APP, mirror)]), None, 1024)
        transport = httpx2.ASGITransport(door.application(), raise_app_exceptions=False)
        yield await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://d", timeout=60))


async def test_events_runs_and_decisions_through_two_doors(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Published through one, seen, decided and repeated through the other; the stream's cursor holds in both."""
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        async with opened(here, tmp_path / "a") as one, opened(here, tmp_path / "b") as other:
            key = {"idempotency-key": "k"}
            asked = await one.post("/apps/shop/Order", json={"n": 500}, headers={**key, "prefer": "wait=30"})
            assert (asked.status_code, asked.json()["state"]) == (200, "waiting"), asked.text
            run, gate = asked.headers["location"], asked.json()["gates"][0]["id"]
            while (await other.get(run)).status_code == 404:
                await asyncio.sleep(0.05)  # its copy follows ten times a second
            again = await other.post("/apps/shop/Order", json={"n": 500}, headers=key)
            assert (again.headers["location"], again.json()["repeated"]) == (run, True)
            seen = await other.get(run, headers={"prefer": "wait=30"})
            assert seen.json()["gates"][0]["id"] == gate
            decided = await other.post(f"/gates/{gate}", json={"decision": "approve", "edited": {"n": 60}})
            assert decided.status_code == 202, decided.text
            done = await one.get(run, headers={"prefer": "wait=30"})
            while done.json()["state"] != "completed":
                await asyncio.sleep(0.05)
                done = await one.get(run, headers={"prefer": "wait=30"})
            assert done.json()["result"]["n"] == 60
            while (await other.get(run)).json()["state"] != "completed":
                await asyncio.sleep(0.05)
            streams = [(await door.get(f"{run}/stream")).text for door in (one, other)]
            last = [line[4:] for line in streams[0].splitlines() if line.startswith("id: ")][-1]
            assert [text.count("event: event") for text in streams] == [4, 4]
            assert (await other.get(f"{run}/stream", headers={"last-event-id": last})).status_code == 204
        assert len(await here.records("shop.orders")) == 1


async def test_a_door_knows_what_workers_on_kafka_ask_for(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """What the last one left on the app's wiring topic: 409 without their key, and a forged decision is a claim."""
    async with stage(kafka, topic_prefix, APP) as here, opened(here, tmp_path / "a") as door:
        worker = await here.worker()
        asked = await door.post("/apps/shop/Order", json={"n": 500}, headers={"prefer": "wait=30"})
        run, gate = asked.headers["location"], asked.json()["gates"][0]["id"]
        await tell(worker.bus, APP, "0123456789abcdef" * 2)
        before = await here.records("shop.runs")
        refused = await door.post(f"/gates/{gate}", json={"decision": "approve"})
        assert (refused.status_code, "STEPWIRE_DECISION_KEY" in refused.json()["detail"]) == (409, True)
        assert len(await here.records("shop.runs")) == len(before)
        await worker.bus.publish(forged("shop", "approve", run.rpartition("/")[2], gate)[1:])
        while not (told := (await door.get(run)).json()["said"]):
            await asyncio.sleep(0.05)
        assert [each["doubt"] for each in told] == [UNSIGNED]
        await tell(worker.bus, APP, "")
        assert (await door.post(f"/gates/{gate}", json={"decision": "approve"})).status_code == 202


async def test_a_door_is_ready_while_kafka_is_there(
    own_kafka: OwnKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka away: /readyz 503, and /livez still ok; back: 200, and what is published then is seen."""
    monkeypatch.setattr("stepwire_handlers.services.following.FRESH", 2.0)
    cluster = own_kafka()
    async with stage(cluster.bootstrap, topic_prefix, APP) as here, opened(here, tmp_path / "a") as door:

        async def until_ready(status: int) -> None:
            async with asyncio.timeout(80):
                while (await door.get("/readyz")).status_code != status:
                    await asyncio.sleep(0.05)

        await until_ready(200)
        await asyncio.to_thread(cluster.nodes[0].stop)
        await until_ready(503)
        assert (await door.get("/livez")).status_code == 200
        cluster.nodes[0].launch()
        await asyncio.to_thread(cluster.nodes[0].wait)
        await until_ready(200)
        asked = await door.post("/apps/shop/Order", json={"n": 5})
        assert asked.status_code == 202, asked.text
        assert (await door.get(asked.headers["location"])).status_code == 200
