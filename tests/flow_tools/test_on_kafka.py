"""Tools of an app on Kafka: the same answers, from a copy of the app's topics."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from mcp import Client
from tests.flow_tools.servers import text
from tests.flow_tools.shop import APP
from tests.kafka.stage import stage

from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.process import LOCAL

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_flow_on_kafka_is_a_tool(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Result with progress, a repeat that finds the first run, a gate, a failure."""
    told: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        told.append(message or "")

    async with stage(kafka, topic_prefix, APP) as here, AsyncExitStack() as stack:
        await here.worker()
        values = Configuration(bus=f"kafka://{here.servers}", blobs=str(tmp_path / "blobs"))
        mirror = Mirror(here.new_bus(), APP, tmp_path)
        await mirror.open()
        stack.push_async_callback(mirror.close)
        door = door_of(values, await places_of(stack, [(APP, mirror)]), None, 1024)
        client = await stack.enter_async_context(Client(Calls(door, 60.0, "", LOCAL).server()))
        order = {"n": 3, "idempotency_key": "k"}
        done = await client.call_tool("till_Order", order, progress_callback=progress)
        again = await client.call_tool("till_Order", order)
        gate = await client.call_tool("till_Order", {"n": 300})
        failed = await client.call_tool("till_Order", {"n": -3})
    assert (done.structured_content["result"]["n"], len(told)) == (3, 3)
    assert again.structured_content["run"] == done.structured_content["run"]
    assert gate.structured_content["state"] == "waiting"
    assert failed.is_error and "a negative order" in text(failed)
