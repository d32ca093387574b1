"""A console to an app on Kafka shows its copy of the topics, and what a person decides there reaches the workers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.console.conftest import ACCESS, KEYS
from tests.console.office import OFFICE, Invoice
from tests.kafka.stage import Stage, stage

from stepwire.jsontext import load
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console.process import console_of
from stepwire_handlers.services.door.process import places_of
from stepwire_handlers.services.mirror import Mirror

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
FROM = {"origin": "http://console"}


@asynccontextmanager
async def opened(here: Stage, folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A console with a copy of its own, as another machine has it, and a person who may do everything."""
    values = Configuration(bus=f"kafka://{here.servers}", blobs=str(folder / "blobs"))
    async with AsyncExitStack() as stack:
        mirror = Mirror(here.new_bus(), OFFICE, folder)
        await mirror.open()
        stack.push_async_callback(mirror.close)
        console = console_of(values, await places_of(stack, [(OFFICE, mirror)]), ACCESS, "console")
        transport = httpx2.ASGITransport(console.application(), raise_app_exceptions=False)
        client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://console"))
        assert (await client.post("/login", data={"key": KEYS["boss"][0]}, headers=FROM)).status_code == 303
        yield client


async def link(client: httpx2.AsyncClient, listing: str, prefix: str) -> str:
    """The one address on a page that begins so, once the copy has it."""
    while True:
        found = set(re.findall(rf'href="({prefix}[^"]+)"', (await client.get(listing)).text))
        if found:
            (address,) = found
            return str(address)
        await asyncio.sleep(0.05)


async def test_a_gate_and_a_dead_letter_on_kafka(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """A gate decided with an edit and a dead letter replayed with one: both runs end with what the person wrote."""
    async with stage(kafka, topic_prefix, OFFICE) as here:
        await here.worker()
        async with opened(here, tmp_path) as client:
            waiting, refused = await here.publish(
                Invoice(customer="Ada", amount=900), Invoice(customer="Bob", amount=-1)
            )
            gate = await link(client, "/gates", "/gates/office/")
            edit = {"decision": "approve", "field.customer": "Ada", "field.amount": "5"}
            decided = await client.post(gate, data=edit, headers=FROM)
            assert decided.status_code == 303, decided.text
            letter = (await link(client, "/dead-letters", "/dead-letters/office/")).partition("?")[0]
            again = {"field.customer": "Bob", "field.amount": "7"}
            replayed = await client.post(f"{letter}/replay", data=again, headers=FROM)
            assert replayed.status_code == 303, replayed.text
            booked = await here.until("office.booked", 2)
            assert {tuple(load(record.value).values())[:2] for record in booked} == {("Ada", 5), ("Bob", 7)}
            for run in (waiting, refused):
                while "completed" not in (await client.get(f"/runs/{run}")).text:
                    await asyncio.sleep(0.05)  # its copy follows ten times a second
            assert "No dead letters" in (await client.get("/dead-letters")).text
            assert "Nothing waits" in (await client.get("/gates")).text
